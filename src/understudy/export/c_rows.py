"""Pools, windows, sums and copies in the C format: what works on values as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from understudy.export.c_constants import scale_word
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import Add, Concat, Flatten, LocalMaxPool, MaxPool, Scan, SumPool, Window

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

ROWS_BYTES, POOL_BYTES, ADDITION_BYTES = 20, 24, 20
"""Sizes of the runtime's ``us_rows``, ``us_pool`` and ``us_addition`` on a 32-bit core; a test compares them."""


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


def write_scan(writer: Writer, node: Scan) -> None:
    """Write a recurrence over rows."""
    steps, _, columns = writer.program.shapes()[node.output]
    name = writer.names[node.output]
    fields = f"{writer.pointer(node.input)}, {writer.pointer(node.output)}, 0, {steps}, {columns}, {{0, 0}}, 0, 1"
    writer.constant(f"scan {node.output}", ROWS_BYTES, f"static const us_rows {name} = {{{fields}}};")
    writer.call("us_scan", f"&{name}")


def write_concat(writer: Writer, node: Concat) -> None:
    """Write copies of the parts that are not in their place already."""
    offset = 0
    *places, total = writer.program.shapes()[node.output]
    for index, source in enumerate(node.inputs):
        columns = writer.program.shapes()[source][-1]
        if (node.output, source) not in writer.place.written_in_place:
            name = f"{writer.names[node.output]}_{index}"
            tensors = f"{writer.pointer(source)}, {writer.pointer(node.output)} + {offset}"
            _write_copy(writer, f"concat {node.output}", name, tensors, shape=(math.prod(places), columns), step=total)
        offset += columns


def write_flatten(writer: Writer, node: Flatten) -> None:
    """Write a copy: in C the values are in a row already."""
    [count] = writer.program.shapes()[node.output]
    tensors = f"{writer.pointer(node.input)}, {writer.pointer(node.output)}"
    _write_copy(writer, f"flatten {node.output}", writer.names[node.output], tensors, shape=(1, count), step=count)


def _write_copy(writer: Writer, where: str, name: str, tensors: str, *, shape: tuple[int, int], step: int) -> None:
    """Write a copy of rows and columns ``shape`` into rows that lie ``step`` values apart."""
    fields = f"{tensors}, {step}, {shape[0]}, {shape[1]}, {{0, 0}}, 0, 1"
    writer.constant(where, ROWS_BYTES, f"static const us_rows {name} = {{{fields}}};")
    writer.call("us_copy", f"&{name}")


def write_local_max_pool(writer: Writer, node: LocalMaxPool) -> None:
    """Write a pool whose places see a part of the image."""
    shapes, name = writer.program.shapes(), writer.names[node.output]
    sizes = [*shapes[node.input], *shapes[node.output][:2], *node.kernel, node.stride, *node.padding[:2]]
    fields = f"{writer.pointer(node.input)}, {writer.pointer(node.output)}, {', '.join(map(str, sizes))}"
    writer.constant(f"local_max_pool {node.output}", POOL_BYTES, f"static const us_pool {name} = {{{fields}}};")
    writer.call("us_local_max_pool", f"&{name}")


def write_add(writer: Writer, node: Add) -> None:
    """Write a sum of two tensors."""
    scheme, name = writer.program.quantization, writer.names[node.output]
    tensors = ", ".join(map(writer.pointer, (*node.inputs, node.output)))
    zeros = ", ".join(str(scheme[source].zero_point) for source in node.inputs)
    count = math.prod(writer.program.shapes()[node.output])
    fields = f"{tensors}, {count}, {writer.range(scheme[node.output], relu=node.relu)}, {zeros}"
    writer.constant(f"add {node.output}", ADDITION_BYTES, f"static const us_addition {name} = {{{fields}}};")
    writer.call("us_add", f"&{name}")
