"""Lookups and products in the C format: what works on values one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from understudy.export.c_constants import scale_word
from understudy.program.interpreter import requantize_scale
from understudy.program.pointwise import Lookup, Multiply

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

LOOKUP_BYTES, PRODUCT_BYTES = 16, 28
"""Sizes of the runtime's ``us_values`` and ``us_product`` on a 32-bit core; a test compares them."""


def write_lookup(writer: Writer, node: Lookup) -> None:
    """Write a table and the call that reads it."""
    assert node.table is not None
    name, where = writer.names[node.output], f"lookup {node.output}"
    count = math.prod(writer.program.shapes()[node.output])
    writer.array(where, "int8_t", f"{name}_table", node.table.tolist())
    fields = f"{writer.pointer(node.input)}, {writer.pointer(node.output)}, {name}_table, {count}"
    writer.constant(where, LOOKUP_BYTES, f"static const us_values {name} = {{{fields}}};")
    writer.call("us_lookup", f"&{name}")


def write_multiply(writer: Writer, node: Multiply) -> None:
    """Write a product of two tensors; ``period`` values of the second one are met again and again."""
    scheme, shapes, name = writer.program.quantization, writer.program.shapes(), writer.names[node.output]
    (one, other), target = (scheme[source] for source in node.inputs), scheme[node.output]
    scale = scale_word(float(requantize_scale(one.scale, other.scale, target.scale).item()))
    tensors = ", ".join(map(writer.pointer, (*node.inputs, node.output)))
    sizes = f"{math.prod(shapes[node.output])}, {math.prod(shapes[node.inputs[1]])}"
    ends = f"{writer.range(target, relu=False)}, {one.zero_point}, {other.zero_point}"
    fields = f"{tensors}, {sizes}, 0x{scale:08X}u, {ends}"
    writer.constant(f"multiply {node.output}", PRODUCT_BYTES, f"static const us_product {name} = {{{fields}}};")
    writer.call("us_multiply", f"&{name}")
