"""Nodes of an integer program to ExecuTorch kernels on floats that hold integers exactly.

As in ``coreml_program`` every int8 tensor is float32 ``q - zero_point``; layers are a product of integers, then ``mul``,
``round`` and ``clamp`` in place. Rows of tokens are ``[W, E]``, images ``[1, C, H, W]``, vectors ``[1, E]``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.export.executorch_boxes import box_nibbles, write_box_projection
from understudy.export.executorch_flatbuffer import BOOL, FLOAT, INT8, INT32, UINT8, ExecutorchWriter, Learned, Tensor, Value
from understudy.export.executorch_text import Nibbles, spread_nibbles, text_nibbles, write_text_projection
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
    Program,
    ProjectBoxes,
    ProjectText,
    ProjectVector,
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions

_KINDS = {ProjectText: INT32, Image: UINT8, Standardize: FLOAT}
"""Type of the numbers that a source reads."""


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the ``.pte`` file of an integer ``program``, and the bytes of each layer's numbers and of the projection's."""
    if isinstance(program.source, Sound):
        raise InputError("the executorch format has no sounds so far: received a program for sounds; choose another format")
    return _ProgramWriter(program).file()


class _ProgramWriter:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = ExecutorchWriter()
        self._tensors: dict[str, Tensor] = {}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        program, writer = self._program, self._writer
        given = writer.tensor((1, *program.source.input_shape), _KINDS[type(program.source)])
        self._tensors[program.source.input] = given
        self._weights = self._spread_weights()
        for node in program.nodes:
            writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv) else ""
            self._tensors[node.output] = self._node(node)
        return writer.finish(given, self._tensors[program.nodes[-1].output]), writer.stored_bytes

    def _spread_weights(self) -> dict[str, Tensor]:
        """Return all weights, and the tables of a text hash, as floats: each width of bits is converted by one call."""
        program, writer = self._program, self._writer
        views: dict[str, Tensor] = {}
        bytes8 = [node for node in program.layers if node.bits == 8]
        if bytes8:
            flat = np.concatenate([_kernel(node, self._shapes).ravel() for node in bytes8])
            packed = writer.constant(flat, INT8, charge=False)
            real = writer.call("aten::_to_copy.out", packed, False, None, writer.tensor(flat.shape))
            begin = 0
            for node in bytes8:
                writer.owner = node.output
                writer.charge(node.weight.size)
                views[f"layer {node.output}"] = real.view(_kernel(node, self._shapes).shape, begin=begin)
                begin += node.weight.size
        nibbles = {
            f"layer {node.output}": Nibbles(node.output, _kernel(node, self._shapes).astype(np.int64), -8)
            for node in program.layers
            if node.bits == 4
        }
        if isinstance(program.source, ProjectText):
            nibbles |= text_nibbles(program.source.projection)
        for box_node in (node for node in program.nodes if isinstance(node, ProjectBoxes)):
            sides = box_nibbles(box_node.projection)
            nibbles |= {} if sides is None else {f"boxes {box_node.output}": sides}
        return views | (spread_nibbles(writer, nibbles) if nibbles else {})

    def _node(self, node: Node) -> Tensor:
        match node:
            case ProjectText():
                return write_text_projection(self._writer, node.projection, self._tensors[node.input], self._weights)
            case Image():
                return self._image(node)
            case Standardize():
                return self._standardized(node)
            case Sound():
                raise TypeError("refused before anything is written")
            case ProjectVector():
                raise TypeError("an integer program has a Linear in place of a ProjectVector")
            case ProjectBoxes():
                sides = self._weights.get(f"boxes {node.output}")
                return write_box_projection(self._writer, node.projection, self._tensors[node.input], sides)
            case Linear():
                return self._linear(node)
            case Conv() | DepthwiseConv():
                return self._conv(node)
            case Window():
                return self._window(node)
            case MaxPool():
                source = self._tensors[node.input]
                return self._flat(self._call("amax.out", source, self._places(source), True, self._pooled(source)))
            case SumPool():
                return self._sum_pool(node)
            case Concat():
                found = self._writer.tensor((1, *self._shapes[node.output]))
                return self._call("cat.out", [self._tensors[name] for name in node.inputs], 1, found)
            case Softmax():
                return self._softmax(node)
            case Add() | LocalMaxPool() | Flatten() | Lookup() | Multiply() | Scan():
                raise TypeError(f"no chain: {node.output}")
            case Positions() | Place() | LayerNorm() | Attention():
                raise TypeError(f"no chain: {node.output}")

    def _image(self, node: Image) -> Tensor:
        """Return the pixels: q - zero_point is the pixel itself."""
        height, width, channels = node.shape
        moved = self._writer.tensor((1, channels, height, width), UINT8)
        self._call("permute_copy.out", self._tensors[node.input], [0, 3, 1, 2], moved)
        return self._call("_to_copy.out", moved, False, None, self._writer.tensor(moved.shape))

    def _standardized(self, node: Standardize) -> Tensor:
        """Quantize in the shape that is read, then move the channels of a window before its steps."""
        writer, given = self._writer, self._tensors[node.input]
        real = self._call("sub.out", given, writer.constant(node.offset), 1, writer.tensor(given.shape))
        self._call("mul.out", real, writer.constant(node.multiplier), real)
        known = self._call("eq.Tensor_out", real, real, writer.tensor(given.shape, BOOL))  # NaN differs from itself
        steps = self._call("where.self_out", known, real, writer.constant([0.0]), writer.tensor(given.shape))
        self._call("mul.Scalar_out", steps, 1 / node.quantization.scale, steps)
        self._call("round.out", steps, steps)
        self._call("clamp.out", steps, -128, 127, steps)
        if len(node.shape) == 1:
            return steps
        moved = writer.tensor((1, *reversed(node.shape)))
        return self._call("permute_copy.out", steps, [0, 2, 1], moved).view((*moved.shape, 1))

    def _linear(self, node: Linear) -> Tensor:
        source, weight = self._tensors[node.input], self._weights[f"layer {node.output}"]
        if len(source.shape) == 4:
            return self._convolved(node, source, weight)
        sums = self._writer.tensor((source.shape[0], len(node.weight)))
        self._call("linear.out", source, weight, self._bias(node), sums)
        return self._requantized(sums, node)

    def _conv(self, node: Conv | DepthwiseConv) -> Tensor:
        source, (top, left, bottom, right) = self._tensors[node.input], node.padding
        around = [top, left]
        if (top, left) != (bottom, right):
            _, channels, height, width = source.shape
            longer = self._writer.tensor((1, channels, height + top + bottom, width + left + right))
            source, around = self._call("constant_pad_nd.out", source, [left, right, top, bottom], 0, longer), [0, 0]
        groups = len(node.weight) if isinstance(node, DepthwiseConv) else 1
        weight = self._weights[f"layer {node.output}"]
        return self._convolved(node, source, weight, stride=node.stride, around=around, groups=groups)

    def _convolved(
        self,
        node: Layer,
        source: Tensor,
        weight: Tensor,
        *,
        stride: int = 1,
        around: list[int] | None = None,
        groups: int = 1,
    ) -> Tensor:
        height, width, channels = self._shapes[node.output]
        sums = self._writer.tensor((1, channels, height, width))
        strides, pads, ones, nothing = [stride, stride], around or [0, 0], [1, 1], [0, 0]
        inputs = (source, weight, self._bias(node), strides, pads, ones, False, nothing, groups)
        return self._requantized(self._call("convolution.out", *inputs, sums), node)

    def _bias(self, node: Layer) -> Tensor | None:
        return None if node.bias is None else self._writer.constant(node.bias)

    def _requantized(self, sums: Tensor, node: Layer | SumPool) -> Tensor:
        """Replace sums by ``clamp(round(sums * scale))`` less the zero point."""
        scheme = self._program.quantization
        factor = node.multiplier if isinstance(node, SumPool) else node.weight_scale
        assert factor is not None
        scale = requantize_scale(scheme[node.input].scale, factor, scheme[node.output].scale)
        if scale.size > 1:
            shape = (-1, 1, 1) if len(sums.shape) == 4 else (-1,)
            self._call("mul.out", sums, self._writer.constant(scale.reshape(shape)), sums)
        else:
            self._call("mul.Scalar_out", sums, Learned(float(scale.item())), sums)
        self._call("round.out", sums, sums)
        zero_point = scheme[node.output].zero_point
        low = 0 if not isinstance(node, SumPool) and node.relu else -128 - zero_point
        limits = (low, 127 - zero_point) if zero_point == -128 else (Learned(low), Learned(127 - zero_point))
        return self._call("clamp.out", sums, *limits, sums)

    def _window(self, node: Window) -> Tensor:
        """Return rows beside their neighbours: they overlap in memory, so one strided copy does it."""
        source, before = self._tensors[node.input], (node.width - 1) // 2
        words, channels = source.shape
        longer = self._writer.tensor((words + node.width - 1, channels))
        self._call("constant_pad_nd.out", source, [0, 0, before, node.width - 1 - before], 0, longer)
        found = self._writer.tensor((words, node.width * channels))
        return self._call("as_strided_copy.out", longer, list(found.shape), [channels, 1], None, found)

    def _sum_pool(self, node: SumPool) -> Tensor:
        source = self._tensors[node.input]
        sums = self._call("sum.IntList_out", source, self._places(source), True, None, self._pooled(source))
        return self._flat(self._requantized(sums, node))

    def _places(self, source: Tensor) -> list[int]:
        return [2, 3] if len(source.shape) == 4 else [0]

    def _pooled(self, source: Tensor) -> Tensor:
        return self._writer.tensor((1, source.shape[1], 1, 1) if len(source.shape) == 4 else (1, source.shape[1]))

    def _flat(self, vector: Tensor) -> Tensor:
        return vector.view((1, math.prod(vector.shape)))

    def _softmax(self, node: Softmax) -> Tensor:
        source = self._tensors[node.input]
        real, found = self._writer.tensor(source.shape), self._writer.tensor(source.shape)
        self._call("mul.Scalar_out", source, Learned(self._program.quantization[node.input].scale), real)
        return self._call("_softmax.out", real, 1, False, found)

    def _call(self, kernel: str, *arguments: Value) -> Tensor:
        return self._writer.call(f"aten::{kernel}", *arguments)


def _kernel(node: Layer, shapes: dict[str, tuple[int, ...]]) -> npt.NDArray[np.int8]:
    """Return weights as the kernels want them: ``[out, in]``, for images ``[out, in, height, width]``."""
    weight = node.weight.astype(np.int8)
    if isinstance(node, Conv):
        return weight.transpose(0, 3, 1, 2)
    if isinstance(node, DepthwiseConv):
        return weight[:, None]
    return weight[..., None, None] if len(shapes[node.input]) == 3 else weight
