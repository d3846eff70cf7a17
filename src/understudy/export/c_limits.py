"""What the integer types of the C runtime hold."""

from __future__ import annotations

from collections.abc import Sequence

from understudy.errors import InputError
from understudy.program.ops import Program


def check_limits(program: Program) -> None:
    """Refuse what the runtime's integer types cannot hold.

    Raises:
        InputError: naming the first limit that is exceeded.
    """
    if not program.quantization:
        raise InputError("the C format holds integer programs: received quantization={}; quantize the program first")
    projection = program.projection
    limits: Sequence[tuple[str, int, int]] = (
        ("max_bytes * orders", projection.max_bytes * max(1, len(projection.orders)), 32767),
        ("features", projection.features, 65535),
        ("max_words", projection.max_words, 32767),
        ("order", max(projection.orders, default=1), 8),
        ("layer inputs", max((node.weight.shape[1] for node in program.linears), default=0), 65534),
        ("layer outputs", max((node.weight.shape[0] for node in program.linears), default=0), 65535),
    )
    for what, value, limit in limits:
        if value > limit:
            raise InputError(f"{what} in the C format is at most {limit}: received {what}={value}; choose a smaller model")
