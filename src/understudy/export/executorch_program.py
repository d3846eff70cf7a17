"""Nodes of an integer program to ExecuTorch kernels on floats that hold integers exactly.

As in ``coreml_program`` every int8 tensor is float32 ``q - zero_point``; layers are a product of integers, then ``mul``,
``round`` and ``clamp`` in place. Rows of tokens are ``[W, E]``, images ``[1, C, H, W]``, vectors ``[1, E]``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from understudy.export.executorch_boxes import box_nibbles, write_box_projection
from understudy.export.executorch_flatbuffer import (
    BOOL,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    ExecutorchWriter,
    Learned,
    Tensor,
    Value,
)
from understudy.export.executorch_sound import write_log_mel
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
    Padding,
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
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions

KINDS = {ProjectText: INT32, Image: UINT8, Standardize: FLOAT, Sound: INT16}
"""Type of the numbers that a source reads."""


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the ``.pte`` file of an integer ``program``, and the bytes of each layer's numbers and of the projection's."""
    return ProgramWriter(program).file()


class ProgramWriter:
    """Turns nodes into calls one after the other; ``executorch_float.py`` has one whose tensors hold real numbers."""

    _below_all: float = -256
    """Less than any int8 value less its zero point."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = ExecutorchWriter()
        self._tensors: dict[str, Tensor] = {}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        """Return the file, and the bytes of each layer's numbers and of the projection's."""
        program, writer = self._program, self._writer
        given = writer.tensor((1, *program.source.input_shape), KINDS[type(program.source)])
        self._tensors[program.source.input] = given
        self._spread = self._spread_numbers()
        for node in program.nodes:
            writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv) else ""
            self._tensors[node.output] = self._node(node)
        return writer.finish(given, self._tensors[program.nodes[-1].output]), writer.stored_bytes

    def _spread_numbers(self) -> dict[str, Tensor]:
        """Return all weights, and the tables of a projection, as floats: each width of bits is converted by one call."""
        program, writer = self._program, self._writer
        views: dict[str, Tensor] = {}
        bytes8 = [node for node in program.layers if node.bits == 8]
        lookups = [node for node in program.nodes if isinstance(node, Lookup)]
        if bytes8 or lookups:
            tables = [node.table for node in lookups if node.table is not None]
            flat = np.concatenate([*(kernel_weight(node, self._shapes).ravel() for node in bytes8), *tables])
            packed = writer.constant(flat, INT8, charge=False)
            real = writer.call("aten::_to_copy.out", packed, False, None, writer.tensor(flat.shape))
            begin = 0
            for node in bytes8:
                writer.owner = node.output
                writer.charge(node.weight.size)
                views[f"layer {node.output}"] = real.view(kernel_weight(node, self._shapes).shape, begin=begin)
                begin += node.weight.size
            views |= self._centred_tables(lookups, real, begin) if lookups else {}
        nibbles = {
            f"layer {node.output}": Nibbles(node.output, kernel_weight(node, self._shapes).astype(np.int64), -8)
            for node in program.layers
            if node.bits == 4
        }
        nibbles |= self._projection_nibbles()
        return views | (spread_nibbles(writer, nibbles) if nibbles else {})

    def _projection_nibbles(self) -> dict[str, Nibbles]:
        source = self._program.source
        nibbles = text_nibbles(source.projection) if isinstance(source, ProjectText) else {}
        for node in (node for node in self._program.nodes if isinstance(node, ProjectBoxes)):
            sides = box_nibbles(node.projection)
            nibbles |= {} if sides is None else {f"boxes {node.output}": sides}
        return nibbles

    def _centred_tables(self, lookups: list[Lookup], real: Tensor, begin: int) -> dict[str, Tensor]:
        """Return the tables that stand in ``real`` from ``begin`` on, less the zero points of what comes out of them."""
        writer, count = self._writer, len(lookups)
        writer.owner = ""
        zero_points = writer.constant([[self._program.quantization[node.output].zero_point] for node in lookups])
        tables = real.view((count, 256), begin=begin)
        self._call("sub.out", tables, zero_points, 1, tables)
        return {f"table {node.output}": tables.view((256, 1), begin=256 * i) for i, node in enumerate(lookups)}

    def _node(self, node: Node) -> Tensor:
        match node:
            case ProjectText():
                return write_text_projection(self._writer, node.projection, self._tensors[node.input], self._spread)
            case Image():
                return self._image(node)
            case Standardize():
                return self._standardized(node)
            case Sound():
                picture = write_log_mel(self._writer, node.log_mel, self._tensors[node.input])
                return picture.view((1, 1, *picture.shape[1:3]))
            case ProjectVector():
                raise TypeError("an integer program has a Linear in place of a ProjectVector")
            case ProjectBoxes():
                return self._boxes(node, self._tensors[node.input])
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
                return self._concat(node)
            case LocalMaxPool():
                return self._local_max_pool(node)
            case Add():
                first, second = (self._tensors[name] for name in node.inputs)
                sums = self._call("add.out", first, second, 1, self._writer.tensor(first.shape))
                return self._clamped(sums, node.output, relu=node.relu)
            case Lookup():
                return self._lookup(node)
            case Multiply():
                return self._multiply(node)
            case Flatten():
                height, width, channels = self._shapes[node.input]
                moved = self._writer.tensor((1, height, width, channels))
                return self._flat(self._call("permute_copy.out", self._tensors[node.input], [0, 2, 3, 1], moved))
            case Softmax():
                return self._softmax(node)
            case Scan() | Positions() | Place() | LayerNorm() | Attention():
                raise TypeError("refused before anything is written")

    def _image(self, node: Image) -> Tensor:
        """Return the pixels: q - zero_point is the pixel itself."""
        height, width, channels = node.shape
        moved = self._writer.tensor((1, channels, height, width), UINT8)
        self._call("permute_copy.out", self._tensors[node.input], [0, 3, 1, 2], moved)
        return self._call("_to_copy.out", moved, False, None, self._writer.tensor(moved.shape))

    def _standardized(self, node: Standardize) -> Tensor:
        """Quantize in the shape that is read, then move the channels of a window before its steps."""
        steps = write_standardized(self._writer, node, self._tensors[node.input])
        if len(node.shape) == 1:
            return steps
        moved = self._writer.tensor((1, *reversed(node.shape)))
        return self._call("permute_copy.out", steps, [0, 2, 1], moved).view((*moved.shape, 1))

    def _boxes(self, node: ProjectBoxes, steps: Tensor) -> Tensor:
        return write_box_projection(self._writer, node.projection, steps, self._spread.get(f"boxes {node.output}"))

    def _linear(self, node: Linear) -> Tensor:
        source, weight = self._tensors[node.input], self._weight(node)
        if len(source.shape) == 4:
            return self._convolved(node, source, weight)
        sums = self._writer.tensor((source.shape[0], len(node.weight)))
        self._call("linear.out", source, weight, self._bias(node), sums)
        return self._requantized(sums, node)

    def _conv(self, node: Conv | DepthwiseConv) -> Tensor:
        source, around = self._tensors[node.input], list(node.padding[:2])
        if node.padding[:2] != node.padding[2:]:
            source, around = self._around(source, node.padding, 0), [0, 0]
        groups = len(node.weight) if isinstance(node, DepthwiseConv) else 1
        weight = self._weight(node)
        return self._convolved(node, source, weight, stride=node.stride, around=around, groups=groups)

    def _around(self, source: Tensor, padding: Padding, value: float) -> Tensor:
        """Return a map with ``value`` around its places."""
        (top, left, bottom, right), (_, channels, height, width) = padding, source.shape
        longer = self._writer.tensor((1, channels, height + top + bottom, width + left + right))
        return self._call("constant_pad_nd.out", source, [left, right, top, bottom], value, longer)

    def _local_max_pool(self, node: LocalMaxPool) -> Tensor:
        """The kernel takes padding of at most half of what it sees, so there is none; it also says where it found values."""
        source, strides = self._tensors[node.input], [node.stride, node.stride]
        if any(node.padding):
            source = self._around(source, node.padding, self._below_all)
        height, width, channels = self._shapes[node.output]
        found = self._writer.tensor((1, channels, height, width))
        places = self._writer.tensor(found.shape, INT64)
        nothing, ones = [0, 0], [1, 1]
        arguments = (source, list(node.kernel), strides, nothing, ones, False)
        return self._writer.call("aten::max_pool2d_with_indices.out", *arguments, found, places, outputs=2)

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

    def _weight(self, node: Layer) -> Tensor:
        return self._spread[f"layer {node.output}"]

    def _bias(self, node: Layer) -> Tensor | None:
        return None if node.bias is None else self._writer.constant(node.bias)

    def _requantized(self, sums: Tensor, node: Layer | SumPool | Multiply) -> Tensor:
        """Replace sums by ``clamp(round(sums * scale))`` less the zero point."""
        relu = isinstance(node, Linear | Conv | DepthwiseConv) and node.relu
        return self._clamped(self._rescaled(sums, node), node.output, relu=relu)

    def _rescaled(self, sums: Tensor, node: Layer | SumPool | Multiply) -> Tensor:
        """Replace sums by the nearest steps of the output."""
        scheme = self._program.quantization
        scale = requantize_scale(scheme[inputs_of(node)[0]].scale, self._factor(node), scheme[node.output].scale)
        if scale.size > 1:
            shape = (-1, 1, 1) if len(sums.shape) == 4 else (-1,)
            self._call("mul.out", sums, self._writer.constant(scale.reshape(shape)), sums)
        else:
            self._call("mul.Scalar_out", sums, Learned(float(scale.item())), sums)
        return self._call("round.out", sums, sums)

    def _factor(self, node: Layer | SumPool | Multiply) -> npt.ArrayLike:
        """Return what a step of the first input is multiplied by, in steps of the output's real values."""
        if isinstance(node, SumPool):
            return node.multiplier
        if isinstance(node, Multiply):
            return self._program.quantization[node.inputs[1]].scale
        assert node.weight_scale is not None
        return node.weight_scale

    def _clamped(self, sums: Tensor, name: str, *, relu: bool) -> Tensor:
        """Replace ``sums``, the tensor ``name`` less its zero point, by what int8 holds of it."""
        return self._call("clamp.out", sums, *self._limits(name, relu=relu), sums)

    def _limits(self, name: str, *, relu: bool) -> tuple[Value, Value]:
        """Return the least and the largest value of the tensor ``name``."""
        zero_point = self._program.quantization[name].zero_point
        low = 0 if relu else -128 - zero_point
        return (low, 127 - zero_point) if zero_point == -128 else (Learned(low), Learned(127 - zero_point))

    def _concat(self, node: Concat) -> Tensor:
        parts = [self._tensors[name] for name in node.inputs]
        lead, _, *places = parts[0].shape
        found = self._writer.tensor((lead, self._shapes[node.output][-1], *places))
        return self._call("cat.out", parts, 1, found)

    def _lookup(self, node: Lookup) -> Tensor:
        """Values from 0 to 255 are places in the table."""
        source, offset = self._tensors[node.input], self._program.quantization[node.input].zero_point + 128
        real = self._call("add.Scalar_out", source, Learned(offset), 1, self._writer.tensor(source.shape))
        places = self._call("_to_copy.out", real, False, None, self._writer.tensor(source.shape, INT32))
        found = self._writer.tensor((*source.shape, 1))
        table = self._spread[f"table {node.output}"]
        return self._call("embedding.out", table, places, -1, False, False, found).view(source.shape)

    def _multiply(self, node: Multiply) -> Tensor:
        first, second = (self._tensors[name] for name in node.inputs)
        if len(first.shape) != len(second.shape):  # a number for each channel
            second = second.view((*second.shape, 1, 1))
        return self._requantized(self._call("mul.out", first, second, self._writer.tensor(first.shape)), node)

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
        real = self._real(self._tensors[node.input], node.input)
        return self._call("_softmax.out", real, 1, False, self._writer.tensor(real.shape))

    def _real(self, steps: Tensor, name: str) -> Tensor:
        """Return the real values of the tensor ``name``."""
        return self._call(
            "mul.Scalar_out", steps, Learned(self._program.quantization[name].scale), self._writer.tensor(steps.shape)
        )

    def _call(self, kernel: str, *arguments: Value) -> Tensor:
        return self._writer.call(f"aten::{kernel}", *arguments)


def write_standardized(writer: ExecutorchWriter, node: Standardize, given: Tensor) -> Tensor:
    """Append the calls that standardize and round ``given``, and return the steps as floats in its shape."""
    real = writer.call("aten::sub.out", given, writer.constant(node.offset), 1, writer.tensor(given.shape))
    writer.call("aten::mul.out", real, writer.constant(node.multiplier), real)
    known = writer.call("aten::eq.Tensor_out", real, real, writer.tensor(given.shape, BOOL))  # NaN differs from itself
    zero = writer.constant([0.0])
    steps = writer.call("aten::where.self_out", known, real, zero, writer.tensor(given.shape))
    writer.call("aten::mul.Scalar_out", steps, 1 / node.quantization.scale, steps)
    writer.call("aten::round.out", steps, steps)
    return writer.call("aten::clamp.out", steps, -128, 127, steps)


def kernel_weight(node: Layer, shapes: dict[str, tuple[int, ...]]) -> npt.NDArray[np.int8]:
    """Return weights as the kernels want them: ``[out, in]``, for images ``[out, in, height, width]``."""
    weight = node.weight.astype(np.int8)
    if isinstance(node, Conv):
        return weight.transpose(0, 3, 1, 2)
    if isinstance(node, DepthwiseConv):
        return weight[:, None]
    return weight[..., None, None] if len(shapes[node.input]) == 3 else weight
