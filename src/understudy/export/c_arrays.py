"""Sources that are arrays, in the C format: pixels and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from understudy.export.c_constants import float_words
from understudy.program.ops import Image, Standardize

if TYPE_CHECKING:
    from understudy.export.c_source import Writer


def write_pixels(writer: Writer, node: Image) -> None:
    """Write the call that reads the pixels."""
    _unpack_once(writer)
    writer.call("us_pixels", f"pixels, {writer.pointer(node.output)}, n")


def write_numbers(writer: Writer, node: Standardize) -> None:
    """Write means and deviations, and the call that reads the numbers."""
    _unpack_once(writer)
    name = writer.names[node.output]
    steps = node.multiplier / np.float32(node.quantization.scale)
    for what, values in (("offsets", node.offset), ("multipliers", steps)):
        writer.array("means and deviations", "uint32_t", f"{name}_{what}", float_words(values))
    constants = f"{name}_offsets, {name}_multipliers"
    writer.call("us_standardize", f"values, {constants}, {writer.pointer(node.output)}, n, {len(steps)}")


def _unpack_once(writer: Writer) -> None:
    """Write what the first prediction does where there is no hash."""
    writer.lines += [
        "#if US_VECTOR",
        f"    if (!{writer.prefix}_ram.ready) {{",
        *writer.unpacking(),
        f"        {writer.prefix}_ram.ready = 1;",
        "    }",
        "#endif",
    ]
