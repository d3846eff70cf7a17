"""Convolutions in the C format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from understudy.export.c_constants import scale_word
from understudy.export.c_ram import unpacked_blocks
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import Conv, DepthwiseConv, Layer

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

CONV_BYTES = 60
"""Size of the runtime's ``us_conv`` on a 32-bit core; a test compares it with the compiler's."""


def write_conv(writer: Writer, node: Conv | DepthwiseConv) -> None:
    """Write one convolution's constants and its call."""
    name, where = writer.names[node.output], f"conv {node.output}"
    outputs, inputs = len(node.weight), node.weight[0].size
    writer.array(where, "int8_t", f"{name}_weights", node.weight.ravel().tolist())
    bias = "NULL"
    if node.bias is not None:
        bias = f"{name}_bias"
        writer.array(where, "int32_t", bias, node.bias.tolist())
    scheme, shapes = writer.program.quantization, writer.program.shapes()
    assert node.weight_scale is not None
    scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
    writer.array(where, "uint32_t", f"{name}_scales", [f"0x{scale_word(value):08X}u" for value in np.ravel(scale).tolist()])
    everything = isinstance(node, Conv)
    layer = [
        writer.pointer(node.input),
        writer.pointer(node.output),
        f"{writer.prefix}_ram.values",
        f"(const uint8_t *){name}_weights",
        bias,
        f"{name}_scales",
        "US_EITHER(NULL, us_dot8)" if everything else "NULL",
        inputs,
        outputs,
        inputs,
        math.prod(shapes[node.output][:2]),
        writer.range(scheme[node.output], relu=node.relu),
        scheme[node.input].zero_point,
        1,
        int(scale.size > 1),
        0,
    ]
    run = math.prod(node.weight.shape[2:])
    vectors = f"US_VECTOR_FIELDS({writer.vector_blocks(unpacked_blocks(node))}, {writer.prefix}_ram.activations, {run})"
    place = [*shapes[node.input], *shapes[node.output][:2], *node.weight.shape[1:3], node.stride, *node.padding[:2]]
    text = f"{{{', '.join(map(str, layer))} {vectors}}},\n    {', '.join(map(str, place))}"
    writer.constant(where, CONV_BYTES, f"static const us_conv {name} = {{\n    {text}\n}};")
    if everything:
        writer.calls.append("us_dot8")
    writer.call("us_convolve" if everything else "us_convolve_depthwise", f"&{name}")


def unpack_call(node: Layer, name: str) -> str:
    """Return the call that lays a layer's weights out for vectors."""
    if isinstance(node, DepthwiseConv):
        return f"us_unpack_depthwise(&{name})"
    return f"us_unpack(&{name}.layer)" if isinstance(node, Conv) else f"us_unpack(&{name})"
