"""Pools, windows and concatenations in the C format: what works on rows as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from understudy.export.c_constants import scale_word
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import Concat, MaxPool, SumPool, Window

if TYPE_CHECKING:
    from understudy.export.c_source import Writer

ROWS_BYTES = 20
"""Size of the runtime's ``us_rows`` on a 32-bit core; a test compares it with the compiler's."""


def write_rows(writer: Writer, node: MaxPool | SumPool | Window) -> None:
    """Write a node that works on rows."""
    *places, columns = writer.program.shapes()[node.input]
    scheme, name = writer.program.quantization, writer.names[node.output]
    scale = 0
    if isinstance(node, SumPool):
        scale = scale_word(float(requantize_scale(scheme[node.input].scale, node.multiplier, scheme[node.output].scale).item()))
    function = {MaxPool: "us_max_pool", SumPool: "us_sum_pool", Window: "us_window"}[type(node)]
    width = node.width if isinstance(node, Window) else 1
    tensors = f"{writer.pointer(node.input)}, {writer.pointer(node.output)}"
    fields = f"{tensors}, 0x{scale:08X}u, {math.prod(places)}, {columns}"
    ends = f"{writer.range(scheme[node.output], relu=False)}, {scheme[node.input].zero_point}, {width}"
    where = f"{function.removeprefix('us_')} {node.output}"
    writer.constant(where, ROWS_BYTES, f"static const us_rows {name} = {{{fields}, {ends}}};")
    writer.call(function, f"&{name}" if function == "us_window" else f"&{name}, {writer.present(node.input)}")


def write_concat(writer: Writer, node: Concat) -> None:
    """Write copies of the parts that are not in their place already."""
    offset = 0
    for index, source in enumerate(node.inputs):
        columns = math.prod(writer.program.shapes()[source])
        if (node.output, source) not in writer.place.written_in_place:
            name = f"{writer.names[node.output]}_{index}"
            fields = f"{writer.pointer(source)}, {writer.pointer(node.output)} + {offset}, 0, 1, {columns}, {{0, 0}}, 0, 1"
            writer.constant(f"concat {node.output}", ROWS_BYTES, f"static const us_rows {name} = {{{fields}}};")
            writer.call("us_copy", f"&{name}")
        offset += columns
