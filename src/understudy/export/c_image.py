"""Convolutions in the C format."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from understudy.export.c_constants import scale_word
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import Conv, DepthwiseConv

if TYPE_CHECKING:
    from understudy.export.c_source import Writer

CONV_BYTES = 48
"""Size of the runtime's ``us_conv`` on a 32-bit core; a test compares it with the compiler's."""


def write_conv(writer: Writer, node: Conv | DepthwiseConv) -> None:
    """Write one convolution's constants and its call."""
    name, where = writer.names[node.output], f"conv {node.output}"
    outputs = len(node.weight)
    writer.array(where, "int8_t", f"{name}_weights", node.weight.ravel().tolist())
    bias = "NULL"
    if node.bias is not None:
        bias = f"{name}_bias"
        writer.array(where, "int32_t", bias, node.bias.tolist())
    scheme, shapes = writer.program.quantization, writer.program.shapes()
    assert node.weight_scale is not None
    scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
    writer.array(where, "uint32_t", f"{name}_scales", [f"0x{scale_word(value):08X}u" for value in np.ravel(scale).tolist()])
    fields = [
        writer.pointer(node.input),
        writer.pointer(node.output),
        f"{writer.prefix}_ram.values",
        f"{name}_weights",
        bias,
        f"{name}_scales",
        *shapes[node.input],
        *shapes[node.output][:2],
        outputs,
        writer.range(scheme[node.output], relu=node.relu),
        scheme[node.input].zero_point,
        *node.weight.shape[1:3],
        node.stride,
        *node.padding[:2],
        int(scale.size > 1),
    ]
    text = ", ".join(str(field) for field in fields)
    writer.constant(where, CONV_BYTES, f"static const us_conv {name} = {{\n    {text}\n}};")
    writer.call("us_convolve" if isinstance(node, Conv) else "us_convolve_depthwise", f"&{name}")
