"""Nodes of an integer program to ONNX: QuantizeLinear and DequantizeLinear around float operators.

Runtimes fuse them to integer kernels that follow ``spec/program.md``. Rows of tokens are ``[1, E, W]``, images
``[1, C, H, W]``, vectors ``[1, E, 1]``, in uint8 with zero points moved by 128: onnxruntime turns int8 into that on x86, but
not around MaxPool and Concat, where layers would then run in float.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from understudy.export.onnx_boxes import write_box_projection
from understudy.export.onnx_scan import write_scan
from understudy.export.onnx_sound import write_log_mel
from understudy.export.onnx_text import write_text_projection
from understudy.export.onnx_tokens import write_attention, write_layer_norm
from understudy.export.onnx_writer import FLOAT, INT4, INT8, INT16, INT32, INT64, UINT8, Array, OnnxWriter
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Layer,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Padding,
    Program,
    ProjectBoxes,
    ProjectText,
    ProjectVector,
    Quantization,
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions

_KINDS = {ProjectText: INT32, Image: UINT8, Standardize: FLOAT, Sound: INT16}
"""Type of the numbers that a source reads."""


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the ``.onnx`` file of an integer ``program``, and the bytes of each linear's numbers and of the projection's."""
    return ProgramWriter(program).file()


class ProgramWriter:
    """Turns nodes into operators one after the other; ``onnx_float.py`` has one whose tensors are float32."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = OnnxWriter()
        self._tensors = {program.source.input: program.source.input}
        self._row_tensors: dict[str, str] = {}
        self._real: dict[str, str] = {}
        self._windows = {node.output: node for node in program.nodes if isinstance(node, Window)}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        """Return the file, and owners of numbers in it to their bytes."""
        program = self._program
        for node in program.nodes:
            self._writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv | Lookup | Positions) else ""
            self._tensors[node.output] = self._node(node)
        content = self._writer.finish(
            {program.source.input: (_KINDS[type(program.source)], [1, *program.source.input_shape])},
            {program.nodes[-1].output: (FLOAT, [1, program.classes])},
        )
        return content, self._writer.stored_bytes

    def _node(self, node: Node) -> str:
        match node:
            case ProjectText():
                return write_text_projection(self._writer, node.projection, self._tensors[node.input])
            case Image():  # pixels are the uint8 form of the int8 tensor already
                return self._writer.node("Transpose", [self._tensors[node.input]], perm=[0, 3, 1, 2])
            case Sound():
                return write_log_mel(self._writer, node.log_mel, self._tensors[node.input])
            case Standardize():
                return self._standardized(node)
            case ProjectVector():
                raise TypeError("an integer program has a Linear in place of a ProjectVector")
            case ProjectBoxes():
                zero_point = self._program.quantization[node.input].zero_point + 128
                return write_box_projection(self._writer, node.projection, self._tensors[node.input], zero_point=zero_point)
            case Linear():
                return self._linear(node)
            case Conv() | DepthwiseConv():
                return self._conv(node)
            case Window():
                return self._window(node)
            case MaxPool():
                return self._writer.node("MaxPool", [self._rows(node.input)], kernel_shape=[self._row_count(node.input)])
            case SumPool():
                return self._sum_pool(node)
            case LocalMaxPool():
                places = _places(node.stride, node.padding)
                return self._writer.node("MaxPool", [self._tensors[node.input]], kernel_shape=list(node.kernel), **places)
            case Add():
                real = self._writer.node("Add", [self._dequantized(name) for name in node.inputs])
                return self._activated(real, node)
            case Lookup():
                return self._lookup(node)
            case Multiply():
                return self._multiply(node)
            case Scan():
                return write_scan(self._writer, self._tensors[node.input], columns=self._shapes[node.output][-1])
            case Flatten():
                last = self._writer.node("Transpose", [self._tensors[node.input]], perm=[0, 2, 3, 1])
                row = self._writer.constant([1, self._shapes[node.output][0], 1], INT64)
                return self._writer.node("Reshape", [last, row])
            case Concat():
                return self._writer.node("Concat", [self._tensors[name] for name in node.inputs], axis=1)
            case Positions():
                return self._positions(node)
            case Place():
                at = [self._writer.constant([index], INT64) for index in (node.index, node.index + 1, 2)]
                return self._writer.node("Slice", [self._rows(node.input), *at])
            case LayerNorm():
                real = write_layer_norm(self._writer, self._dequantized(node.input), epsilon=node.epsilon)
                return self._quantized(real, node.output)
            case Attention():
                height, width, channels = self._shapes[node.output]
                real = write_attention(
                    self._writer,
                    [self._dequantized(name) for name in node.inputs],
                    heads=node.heads,
                    factor=node.factor,
                    shape=(1, channels, height, width),
                )
                return self._quantized(real, node.output)
            case Softmax():
                flat = self._writer.node("Flatten", [self._dequantized(node.input)])
                return self._writer.node("Softmax", [flat], output=node.output)

    def _standardized(self, node: Standardize) -> str:
        """Quantize in the shape that is read, then move the channels of a window before its steps."""
        writer = self._writer
        centred = writer.node("Sub", [node.input, writer.constant(node.offset, FLOAT)])
        real = writer.node("Mul", [centred, writer.constant(node.multiplier, FLOAT)])
        # what runtimes quantize NaN to differs
        known = writer.node("Where", [writer.node("IsNaN", [real]), writer.constant(np.float32(0), FLOAT), real])
        steps = self._steps(known, node.output)
        if len(node.shape) == 2:
            steps = writer.node("Transpose", [steps], perm=[0, 2, 1])
        shape = [1, *reversed(node.shape), 1]
        return writer.node("Reshape", [steps, writer.constant(shape, INT64)])

    def _dequantized(self, name: str, *, rows: bool = False) -> str:
        """Return the float tensor of an int8 one."""
        tensor = self._rows(name) if rows else self._tensors[name]
        if tensor not in self._real:
            inputs = [tensor, *self._quantization(self._program.quantization[name])]
            self._real[tensor] = self._writer.node("DequantizeLinear", inputs)
        return self._real[tensor]

    def _quantized(self, x: str, name: str) -> str:
        return self._steps(x, name)

    def _steps(self, x: str, name: str) -> str:
        return self._writer.node("QuantizeLinear", [x, *self._quantization(self._program.quantization[name])])

    def _quantization(self, value: Quantization) -> list[str]:
        return [self._writer.constant(value.scale, FLOAT), self._writer.constant(value.zero_point + 128, UINT8)]

    def _linear(self, node: Linear) -> str:
        """A convolution over the words; one that reads a window looks at several of them."""
        source = node.input
        window = self._windows.get(source)
        if window is not None and self._tensors[source] != self._tensors[window.input]:
            window = None  # others read this window too, so it is a tensor of its own
        width = 1 if window is None else window.width
        kernel = node.weight.reshape(len(node.weight), width, -1).transpose(0, 2, 1)
        if len(self._shapes[source]) == 3:
            kernel = kernel[..., None]
        pads: dict[str, Any] = {} if width == 1 else {"pads": [(width - 1) // 2, width - 1 - (width - 1) // 2]}
        return self._convolved(node, source if window is None else window.input, kernel, **pads)

    def _conv(self, node: Conv | DepthwiseConv) -> str:
        kernel = node.weight.transpose(0, 3, 1, 2) if isinstance(node, Conv) else node.weight[:, None]
        attributes = _places(node.stride, node.padding)
        if isinstance(node, DepthwiseConv):
            attributes["group"] = len(kernel)
        return self._convolved(node, node.input, kernel, **attributes)

    def _convolved(self, node: Layer, source: str, kernel: Array, **attributes: Any) -> str:
        """Append the convolution of ``source`` with ``kernel``, the weights of ``node`` as the operator wants them."""
        return self._activated(self._writer.node("Conv", self._operands(node, source, kernel), **attributes), node)

    def _operands(self, node: Layer, source: str, kernel: Array) -> list[str]:
        """Return the real tensors that a convolution reads: input, weights, and the bias if there is one."""
        writer = self._writer
        if node.bits == 4:
            weight = writer.node("Cast", [writer.constant(kernel, INT4)], to=INT8)
        else:
            weight = writer.constant(kernel, INT8, shared=False)
        assert node.weight_scale is not None
        per_channel = len(node.weight_scale) > 1
        scale = writer.constant(node.weight_scale if per_channel else node.weight_scale[0], FLOAT)
        axis: dict[str, Any] = {"axis": 0} if per_channel else {}
        inputs = [self._dequantized(source)]
        inputs.append(writer.node("DequantizeLinear", [weight, scale], **axis))
        if node.bias is not None:
            source_scale = writer.constant(self._program.quantization[source].scale, FLOAT)
            bias_scale = writer.node("Mul", [scale, source_scale])
            inputs.append(writer.node("DequantizeLinear", [writer.constant(node.bias, INT32), bias_scale], **axis))
        return inputs

    def _activated(self, real: str, node: Layer | Add) -> str:
        """Return the int8 tensor after the relu of ``node``: where the range does not begin at 0, values are clipped there.

        A Relu before QuantizeLinear would keep runtimes from computing in integers.
        """
        quantized = self._quantized(real, node.output)
        zero_point = self._program.quantization[node.output].zero_point + 128
        if not node.relu or zero_point == 0:
            return quantized
        return self._writer.node("Clip", [quantized, self._writer.constant(zero_point, UINT8)])

    def _lookup(self, node: Lookup) -> str:
        """The uint8 form of an int8 value is its place in the table."""
        assert node.table is not None
        table = self._writer.constant(node.table.astype(np.int16) + 128, UINT8)
        return self._writer.node("Gather", [table, self._writer.node("Cast", [self._tensors[node.input]], to=INT32)])

    def _positions(self, node: Positions) -> str:
        writer, quantization = self._writer, self._program.quantization[node.input]
        height, width, channels = self._shapes[node.output]
        scale, zero_point = self._quantization(quantization)
        x = self._behind_zeros(node)
        table = writer.constant((node.table.T.astype(np.int16) + 128).reshape(1, channels, height, width), UINT8)
        steps = self._quantization(Quantization(quantization.scale, 0))
        real = [writer.node("DequantizeLinear", [x, scale, zero_point]), writer.node("DequantizeLinear", [table, *steps])]
        return self._quantized(writer.node("Add", real), node.output)

    def _behind_zeros(self, node: Positions) -> str:
        """Return the input with the places of real zeros that the table has before it."""
        writer, x = self._writer, self._tensors[node.input]
        lead = len(node.table) - self._row_count(node.input)
        if not lead:
            return x
        rows = writer.node("Reshape", [x, writer.constant([1, self._shapes[node.output][2], -1, 1], INT64)])
        return writer.node("Pad", [rows, writer.constant([0, 0, lead, 0, 0, 0, 0, 0], INT64), self._zero(node.input)])

    def _multiply(self, node: Multiply) -> str:
        """Integers in float, with steps of 1 on both sides: onnxruntime's integer kernel rounds some products otherwise."""
        writer, scheme, factors = self._writer, self._program.quantization, []
        for name, factor in zip(node.inputs, self._factors(node), strict=True):
            steps = self._quantization(Quantization(1.0, scheme[name].zero_point))
            factors.append(writer.node("DequantizeLinear", [factor, *steps]))
        (one, other), target = (scheme[name].scale for name in node.inputs), scheme[node.output]
        scale = writer.constant(requantize_scale(one, other, target.scale), FLOAT)
        product = writer.node("Mul", [writer.node("Mul", factors), scale])
        return writer.node("QuantizeLinear", [product, *self._quantization(Quantization(1.0, target.zero_point))])

    def _factors(self, node: Multiply) -> Iterator[str]:
        """Yield the tensors that are multiplied, in shapes that broadcast."""
        for name in node.inputs:
            factor = self._tensors[name]
            if len(self._shapes[name]) < len(self._shapes[node.output]):
                shape = self._writer.constant([1, self._shapes[name][0], 1, 1], INT64)
                factor = self._writer.node("Reshape", [factor, shape])
            yield factor

    def _window(self, node: Window) -> str:
        """Return what linear nodes read: the window's input, because their convolutions look at neighbours themselves."""
        readers = [n for n in self._program.nodes if node.output in inputs_of(n)]
        source, writer = self._tensors[node.input], self._writer
        if all(isinstance(reader, Linear) for reader in readers):
            return source
        words, before = self._shapes[node.input][0], (node.width - 1) // 2
        zero = self._zero(node.input)
        pads = writer.constant([0, 0, before, 0, 0, node.width - 1 - before], INT64)
        padded = writer.node("Pad", [source, pads, zero])
        axis = writer.constant([2], INT64)
        parts = [
            writer.node("Slice", [padded, writer.constant([i], INT64), writer.constant([i + words], INT64), axis])
            for i in range(node.width)
        ]
        return writer.node("Concat", parts, axis=1)

    def _zero(self, name: str) -> str:
        return self._quantization(self._program.quantization[name])[1]

    def _sum_pool(self, node: SumPool) -> str:
        """A product with a matrix whose entries are all 1 and whose scale is the multiplier."""
        ones = self._writer.constant(np.ones((self._row_count(node.input), 1)), INT8, shared=False)
        ones = self._writer.node("DequantizeLinear", [ones, self._writer.constant(node.multiplier, FLOAT)])
        return self._quantized(self._writer.node("MatMul", [self._dequantized(node.input, rows=True), ones]), node.output)

    def _row_count(self, name: str) -> int:
        return math.prod(self._shapes[name][:-1])

    def _rows(self, name: str) -> str:
        """Return a tensor as rows ``[1, E, rows]``, which an image is not."""
        tensor = self._tensors[name]
        if len(self._shapes[name]) == 3 and name not in self._row_tensors:
            rows = self._writer.constant([1, self._shapes[name][-1], self._row_count(name)], INT64)
            self._row_tensors[name] = self._writer.node("Reshape", [tensor, rows])
        return self._row_tensors.get(name, tensor)


def _places(stride: int, padding: Padding) -> dict[str, Any]:
    """Return the attributes of an operator over places."""
    strides: dict[str, Any] = {"strides": [stride] * 2} if stride > 1 else {}
    return {**strides, "pads": padding} if any(padding) else strides
