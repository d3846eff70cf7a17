"""Sources that are arrays, in the C format: pixels, numbers and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from understudy.export.c_constants import float_words
from understudy.program.ops import Image, Sound, Standardize
from understudy.projections.log_mel import LOG_MEL, POSITION_STEPS

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

SOUND_BYTES = 24
"""Size of the runtime's ``us_sound`` on a 32-bit core; a test compares it with the compiler's."""


def write_pixels(writer: Writer, node: Image) -> None:
    """Write the call that reads the pixels."""
    _unpack_once(writer)
    writer.call("us_pixels", f"pixels, {writer.pointer(node.output)}, n")


def write_sound(writer: Writer, node: Sound) -> None:
    """Write the tables of the log-mel picture, and the call that makes it of samples."""
    _unpack_once(writer)
    name, log_mel = writer.names[node.output], node.log_mel
    writer.array(LOG_MEL, "int8_t", f"{name}_cosine", log_mel.cosine.tolist())
    writer.array(LOG_MEL, "uint16_t", f"{name}_positions", (log_mel.positions + POSITION_STEPS).tolist())
    fields = [
        f"{name}_cosine",
        f"{name}_positions",
        f"{writer.prefix}_ram.values",
        writer.pointer(node.output),
        log_mel.frame,
        log_mel.frames,
        log_mel.frame_bits,
    ]
    text = ", ".join(map(str, fields))
    writer.constant(LOG_MEL, SOUND_BYTES, f"static const us_sound {name} = {{\n    {text}\n}};")
    writer.call("us_log_mel", f"&{name}, samples")


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
    if not writer.unpacking():
        return
    writer.lines += [
        "#if US_VECTOR",
        f"    if (!{writer.prefix}_ram.ready) {{",
        *writer.unpacking(),
        f"        {writer.prefix}_ram.ready = 1;",
        "    }",
        "#endif",
    ]
