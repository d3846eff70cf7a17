"""Code bytes of the C format: which runtime functions a program pulls in, and what each weighs.

The weights stand in ``c_code_bytes.json``, measured by ``benchmarks/c_code_size.py`` with the compiler that the file names;
``arm-none-eabi-gcc`` is not needed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

NEEDS: dict[str, tuple[str, ...]] = {
    "us_expand": ("us_mix",),
    "us_next_token": ("us_code",),
    "us_characters": ("us_digest", "us_count", "us_flush"),
    "us_word_digest": ("us_digest",),
    "us_words": ("us_count_words",),
    "us_pairs": ("us_count_words",),
    "us_count_words": ("us_count", "us_flush"),
    "us_digest": ("us_code", "us_hash"),
    "us_count": ("us_hash",),
    "us_linear": ("us_linear_row", "us_absent"),
    "us_linear_row": ("us_pair", "us_requantize"),
    "us_sum_pool": ("us_requantize",),
    "us_softmax": ("us_exp",),
    "us_log_mel": ("us_window_frame", "us_spectrum", "us_octave_parts"),
    "us_window_frame": ("us_bit_count", "us_halved"),
    "us_spectrum": ("us_halved",),
    "us_octave_parts": ("us_bit_count",),
    "us_standardize": ("us_difference", "us_requantize"),
    "us_project_boxes": ("us_box_sum",),
    "us_box_sum": ("us_box_side", "us_pick"),
    "us_box_side": ("us_pick",),
    "us_pick": ("us_mix",),
    "us_multiply": ("us_requantize",),
    "us_convolve": ("us_linear_row",),
    "us_convolve_depthwise": ("us_requantize",),
    "us_real_linear": ("us_real_any", "us_real_clear", "us_real_add_products", "us_real_finish"),
    "us_real_convolve": ("us_real_seen", "us_real_clear", "us_real_add_products", "us_real_finish"),
    "us_real_convolve_depthwise": ("us_real_seen", "us_real_clear", "us_real_add_each", "us_real_finish"),
    "us_real_add_products": ("us_real_add_block",),
    "us_real_add_block": ("us_real_clear",),
    "us_real_finish": ("us_real_within",),
    "us_real_copy": ("us_real_copy_row",),
    "us_real_window": ("us_real_copy_row", "us_real_clear"),
    "us_real_max_pool": ("us_real_copy_row",),
    "us_real_sum_pool": ("us_real_clear", "us_real_within"),
    "us_real_local_max_pool": ("us_real_seen",),
    "us_real_add": ("us_real_within",),
    "us_real_multiply": ("us_real_within",),
    "us_real_softmax": ("us_real_exp",),
    "us_real_sigmoid": ("us_real_exp",),
    "us_real_tanh": ("us_real_sigmoid",),
    "us_real_gelu": ("us_real_exp",),
    "curve": ("us_real_within",),
    **{f"curve: {name}": (f"us_real_{name}",) for name in ("exp", "log", "sigmoid", "tanh", "gelu")},
}
"""Runtime function, or curve in float, to the runtime functions that it calls."""

_CONVOLUTIONS = (
    *("us_convolve", "us_convolve_depthwise"),
    *("us_real_convolve", "us_real_convolve_depthwise", "us_real_add_each", "us_real_seen"),
)
OPERATIONS: dict[str, tuple[str, ...]] = {
    "projection": (
        *("us_expand", "us_mix", "us_next_token", "us_code", "us_digest", "us_hash", "us_count", "us_flush"),
        *(
            "us_characters",
            "us_word_digest",
            "us_count_words",
            "us_words",
            "us_pairs",
            "us_clear",
            "us_clamp",
            "us_binary",
            "us_store",
            "us_project_boxes",
            "us_box_sum",
            "us_box_side",
            "us_pick",
        ),
    ),
    "numbers": ("us_standardize", "us_difference"),
    "real values": ("us_real_values", "us_real_within"),
    "linear": (
        *("us_linear", "us_linear_row", "us_pair", "us_absent", "us_dot8", "us_dot4"),
        *("us_real_linear", "us_real_any", "us_real_clear", "us_real_add_products", "us_real_add_block", "us_real_finish"),
    ),
    "requantization": ("us_requantize",),
    "log-mel": ("us_log_mel", "us_window_frame", "us_spectrum", "us_octave_parts", "us_bit_count", "us_halved"),
    "convolution": ("us_pixels", *_CONVOLUTIONS),
    "window": ("us_window", "us_real_window"),
    "max_pool": ("us_max_pool", "us_local_max_pool", "us_real_max_pool", "us_real_local_max_pool"),
    "sum_pool": ("us_sum_pool", "us_real_sum_pool"),
    "add": ("us_add", "us_real_add"),
    "lookup": ("us_lookup", "us_real_log", "us_real_sigmoid", "us_real_tanh", "us_real_gelu"),
    "multiply": ("us_multiply", "us_real_multiply"),
    "scan": ("us_scan", "us_real_scan"),
    "concat": ("us_copy", "us_real_copy", "us_real_copy_row"),
    "softmax": ("us_softmax", "us_exp", "us_real_softmax", "us_real_exp"),
}
"""Rows of the byte table to the runtime functions that they count."""


@cache
def measured() -> dict[str, Any]:
    """Return the measured table: ``functions`` name to bytes, ``predict`` fixed bytes, ``calls`` name to bytes of one call."""
    table: dict[str, Any] = json.loads(resources.files(__package__).joinpath("c_code_bytes.json").read_text("utf-8"))
    return table


def reachable(calls: Iterable[str]) -> frozenset[str]:
    """Return every runtime function that ``calls`` lead to."""
    found: set[str] = set()
    waiting = list(calls)
    while waiting:
        function = waiting.pop()
        if function not in found:
            found.add(function)
            waiting.extend(NEEDS.get(function, ()))
    return frozenset(found)


def code_rows(calls: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return (row, bytes) for the code of a program whose predict function makes ``calls``."""
    table = measured()
    used = reachable(calls)
    rows = [
        (f"code: {operation}", sum(table["functions"][f] for f in functions if f in used))
        for operation, functions in OPERATIONS.items()
        if used.intersection(functions)
    ]
    glue = table["predict"] + sum(table["calls"].get(function, 0) for function in calls)
    return [*rows, ("code: predict", glue)]
