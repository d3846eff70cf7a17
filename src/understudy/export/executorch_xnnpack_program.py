"""Nodes of an integer program to XNNPACK's int8 operators, and to portable kernels where XNNPACK has none.

Tensors are int8 with the channels last: maps ``[1, H, W, C]``, rows of tokens ``[1, 1, W, E]``, vectors ``[1, E]``. What stands
between two nodes that XNNPACK lacks (tables, projections) is one delegate.

XNNPACK is told that every step is 1, so that a layer's scales are the very factors of ``spec/program.md`` 2, and that each
channel has one: kernels for these round as we do on every processor. A product is one of floats for the same reason.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.export import executorch_xnnpack_graph as xnn
from understudy.export.executorch_boxes import box_nibbles, write_box_projection
from understudy.export.executorch_flatbuffer import FLOAT, INT8, INT32, UINT8, ExecutorchWriter, Learned, Tensor, Value
from understudy.export.executorch_program import KINDS, write_standardized
from understudy.export.executorch_sound import write_log_mel
from understudy.export.executorch_text import spread_nibbles, text_nibbles, write_text_projection
from understudy.export.executorch_xnnpack_graph import XnnpackGraph
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
    Quantization,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply

BACKEND = "XnnpackBackend"
_NO_PADDING: Padding = (0, 0, 0, 0)
_MOST_STEPS = 2.0**8
"""A step of a sum is less than so many of the output, or XNNPACK does not load the layer."""
_MOST_PARTS = 4
"""Tensors that one node concatenates."""


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the ``.pte`` file of an integer ``program``, and the bytes of each layer's numbers and of the projection's."""
    return _ProgramWriter(program).file()


class _ProgramWriter:
    """What is outside of the present graph is a tensor of ExecuTorch, what is inside a value of the graph."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = ExecutorchWriter()
        self._graph = XnnpackGraph()
        self._given: list[Tensor] = []
        self._outside: dict[str, Tensor] = {}
        self._inside: dict[str, xnn.Value] = {}
        self._windows = {node.output: node for node in program.nodes if isinstance(node, Window)}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        program, writer = self._program, self._writer
        source = program.source
        given = writer.tensor((1, *source.input_shape), KINDS[type(source)])
        self._outside[source.input] = given
        nibbles = text_nibbles(source.projection) if isinstance(source, ProjectText) else {}
        for boxes in (node for node in program.nodes if isinstance(node, ProjectBoxes)):
            sides = box_nibbles(boxes.projection)
            nibbles |= {} if sides is None else {f"boxes {boxes.output}": sides}
        self._nibbles = spread_nibbles(writer, nibbles) if nibbles else {}
        for i, node in enumerate(program.nodes):
            writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv) else ""
            if isinstance(node, Lookup | ProjectBoxes):
                self._close(program.nodes[i:])
            self._node(node)
        return writer.finish(given, self._outside[program.nodes[-1].output]), writer.stored_bytes

    def _node(self, node: Node) -> None:
        match node:
            case ProjectText():
                tables, rows = self._nibbles, self._outside[node.input]
                features = write_text_projection(self._writer, node.projection, rows, tables)
                self._outside[node.output] = features.view(self._shape(node.output))
            case Image():
                self._outside[node.output] = self._outside[node.input]
            case Sound():
                self._outside[node.output] = write_log_mel(self._writer, node.log_mel, self._outside[node.input])
            case Standardize():
                steps = write_standardized(self._writer, node, self._outside[node.input])
                self._outside[node.output] = steps.view(self._shape(node.output))
            case ProjectBoxes():
                sides, image = self._nibbles.get(f"boxes {node.output}"), self._centred(node.input)
                self._outside[node.output] = write_box_projection(self._writer, node.projection, image, sides)
            case Lookup():
                self._outside[node.output] = self._looked_up(node)
            case Softmax():
                self._softmax(node)
            case Window() if self._is_fused(node):
                pass  # the layers behind it look at neighbours themselves
            case _:
                self._inside[node.output] = self._computed(node)

    def _computed(self, node: Node) -> xnn.Value:
        match node:
            case Linear():
                return self._linear(node)
            case Conv() | DepthwiseConv():
                return self._conv(node)
            case Window():
                return self._window(node)
            case MaxPool():
                return self._max_pool(node)
            case SumPool():
                return self._sum_pool(node)
            case LocalMaxPool():
                return self._local_max_pool(node)
            case Add():
                found = self._int8(node.output)
                fields = {i: self._value(name) for i, name in enumerate(node.inputs)}
                self._graph.node(xnn.ADD, {**fields, 2: found}, relu=node.relu)
                return found
            case Multiply():
                return self._multiply(node)
            case Flatten():
                return self._reshaped(self._value(node.input), self._shape(node.output))
            case Concat():
                return self._concat([self._value(name) for name in node.inputs])
        raise TypeError(f"refused before anything is written: {node.output}")

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._shapes[name]
        return (1, 1, *shape) if len(shape) == 2 else (1, *shape)

    def _value(self, name: str) -> xnn.Value:
        """Return a tensor of the program as a value of the present graph."""
        if name not in self._inside:
            tensor, quantization, graph = self._outside[name], self._quantization(name), self._graph
            self._given.append(tensor)
            if tensor.kind == INT8:
                self._inside[name] = graph.input(tensor.shape, xnn.INT8, quantization)
            elif tensor.kind == UINT8:
                bytes_ = Quantization(1.0, quantization.zero_point + 128)
                self._inside[name] = self._converted(graph.input(tensor.shape, xnn.UINT8, bytes_), quantization)
            else:
                self._inside[name] = self._converted(graph.input(tensor.shape, xnn.FLOAT), quantization)
        return self._inside[name]

    def _converted(self, x: xnn.Value, quantization: Quantization) -> xnn.Value:
        found = self._graph.value(x.shape, xnn.INT8, quantization)
        self._graph.node(xnn.CONVERT, {0: x, 1: found})
        return found

    def _close(self, later: tuple[Node, ...]) -> None:
        """End the present graph: what ``later`` nodes read of it comes out."""
        read = {name for node in later for name in self._read(node)}
        found = {name: value for name, value in self._inside.items() if name in read and name not in self._outside}
        self._delegate(list(found.values()), [self._writer.tensor(value.shape, INT8) for value in found.values()], list(found))

    def _delegate(self, values: list[xnn.Value], tensors: list[Tensor], names: list[str]) -> None:
        if values:
            self._writer.delegate(BACKEND, self._graph.finish(values), [*self._given, *tensors])
        self._outside |= dict(zip(names, tensors, strict=True))
        self._graph, self._given, self._inside = XnnpackGraph(), [], {}

    def _read(self, node: Node) -> tuple[str, ...]:
        window = self._windows.get(node.input) if isinstance(node, Linear) else None
        return inputs_of(node) if window is None or not self._is_fused(window) else (window.input,)

    def _is_fused(self, window: Window) -> bool:
        """Return whether every reader has 8-bit weights: convolutions have no others."""
        return all(isinstance(n, Linear) and n.bits == 8 for n in self._program.nodes if window.output in inputs_of(n))

    def _linear(self, node: Linear) -> xnn.Value:
        [source] = self._read(node)
        if source != node.input:
            width, before = self._windows[node.input].width, (self._windows[node.input].width - 1) // 2
            weight = node.weight.astype(np.int8).reshape(len(node.weight), 1, width, -1)
            return self._convolved(node, source, weight, padding=(0, before, 0, width - 1 - before))
        x, found = self._value(source), self._int8(node.output)
        weight, kind = node.weight.astype(np.int8), xnn.CHANNEL_INT8
        if node.bits == 4 and weight.shape[1] % 2 == 0:  # rows end at a byte
            nibbles = (weight + 8).astype(np.uint8)
            weight, kind = nibbles[:, 0::2] | nibbles[:, 1::2] << 4, xnn.CHANNEL_INT4
        filters, bias = self._constants(node, weight, kind=kind, shape=node.weight.shape)
        self._graph.node(xnn.LINEAR, {0: x, 1: filters, 2: bias, 3: found}, relu=node.relu)
        return found

    def _conv(self, node: Conv | DepthwiseConv) -> xnn.Value:
        weight = node.weight.astype(np.int8)
        if isinstance(node, Conv):
            return self._convolved(node, node.input, weight, padding=node.padding, stride=node.stride)
        weight = weight.transpose(1, 2, 0)[None]
        return self._convolved(node, node.input, weight, padding=node.padding, stride=node.stride, depthwise=True)

    def _convolved(
        self,
        node: Layer,
        source: str,
        weight: npt.NDArray[np.int8],
        *,
        padding: Padding,
        stride: int = 1,
        depthwise: bool = False,
    ) -> xnn.Value:
        x, found, channels = self._value(source), self._int8(node.output), weight.shape[3]
        filters, bias = self._constants(node, weight, kind=xnn.CHANNEL_INT8, shape=weight.shape, axis=3 if depthwise else 0)
        each, groups = ((1, 1), channels) if depthwise else ((channels, len(weight)), 1)
        fields = {10: each[0], 11: each[1], 12: groups, 15: x, 16: filters, 17: bias, 18: found}
        kind = xnn.DEPTHWISE_CONV if depthwise else xnn.CONV
        self._graph.node(kind, _places(weight.shape[1:3], stride, padding) | fields, relu=node.relu)
        return found

    def _constants(
        self, node: Layer, weight: npt.NDArray[np.generic], *, kind: int, shape: tuple[int, ...], axis: int = 0
    ) -> tuple[xnn.Value, xnn.Value | int]:
        """Store weights, bias and a scale for each channel, which both share: XNNPACK does not look at those of a bias."""
        graph, count = self._graph, len(node.weight)
        assert node.weight_scale is not None
        factors = self._factors(self._read(node)[0], node.weight_scale, node.output)
        if factors.max() >= _MOST_STEPS:
            raise InputError(
                f"in XNNPACK a step of a sum is less than {_MOST_STEPS:g} steps of the output: received "
                f"tensor={node.output!r} with {factors.max():g}; ask for the format executorch"
            )
        scales = graph.scales(np.broadcast_to(factors, (count,)))
        filters = graph.constant(weight, kind, scales, shape=shape, axis=axis)
        self._writer.charge(weight.nbytes + 4 * count)
        if node.bias is None:
            return filters, xnn.NOTHING
        self._writer.charge(4 * count)
        return filters, graph.constant(node.bias.astype("<i4"), xnn.CHANNEL_INT32, scales, shape=(count,))

    def _quantization(self, name: str) -> Quantization:
        return Quantization(1.0, self._program.quantization[name].zero_point)

    def _factors(self, source: str, factor: npt.ArrayLike, target: str) -> npt.NDArray[np.float32]:
        """Return what sums are multiplied by."""
        scheme = self._program.quantization
        return requantize_scale(scheme[source].scale, factor, scheme[target].scale)

    def _int8(self, name: str) -> xnn.Value:
        return self._graph.value(self._shape(name), xnn.INT8, self._quantization(name))

    def _reshaped(self, x: xnn.Value, shape: tuple[int, ...]) -> xnn.Value:
        if x.shape == shape:
            return x
        found = self._graph.value(shape, xnn.INT8, x.quantization)
        self._graph.node(xnn.RESHAPE, {0: len(shape), 1: shape, 2: x, 3: found})
        return found

    def _rows(self, name: str) -> xnn.Value:
        """Return rows of tokens as they are, and of a map the places as rows ``[1, 1, H * W, C]``."""
        return self._reshaped(self._value(name), (1, 1, math.prod(self._shapes[name][:-1]), self._shapes[name][-1]))

    def _max_pool(self, node: MaxPool) -> xnn.Value:
        rows = self._rows(node.input)
        if rows.shape[2] > 1:
            rows = self._pooled(rows, (1, rows.shape[2]), 1, _NO_PADDING, (1, 1, 1, rows.shape[3]))
        return self._reshaped(rows, self._shape(node.output))

    def _local_max_pool(self, node: LocalMaxPool) -> xnn.Value:
        return self._pooled(self._value(node.input), node.kernel, node.stride, node.padding, self._shape(node.output))

    def _pooled(
        self, x: xnn.Value, kernel: tuple[int, int], stride: int, padding: Padding, shape: tuple[int, ...]
    ) -> xnn.Value:
        found = self._graph.value(shape, xnn.INT8, x.quantization)
        self._graph.node(xnn.MAX_POOL, _places(kernel, stride, padding) | {10: x, 11: found})
        return found

    def _sum_pool(self, node: SumPool) -> xnn.Value:
        """A layer over the places of each channel whose weights are all 1 and whose scale is the multiplier."""
        graph, rows = self._graph, self._rows(node.input)
        _, _, count, channels = rows.shape
        turned = graph.value((1, 1, channels, count), xnn.INT8, rows.quantization)
        graph.node(xnn.TRANSPOSE, {0: 4, 1: (0, 1, 3, 2), 2: rows, 3: turned})
        scales = graph.scales(self._factors(node.input, node.multiplier, node.output).reshape(1))
        ones = graph.constant(np.ones((1, count), np.int8), xnn.CHANNEL_INT8, scales, shape=(1, count))
        sums = graph.value((1, 1, channels, 1), xnn.INT8, self._quantization(node.output))
        graph.node(xnn.LINEAR, {0: turned, 1: ones, 2: xnn.NOTHING, 3: sums})
        return self._reshaped(sums, self._shape(node.output))

    def _multiply(self, node: Multiply) -> xnn.Value:
        """Integers in float: XNNPACK's product of int8 rounds otherwise on ARM."""
        first, second = (self._value(name) for name in node.inputs)
        if len(first.shape) != len(second.shape):  # a number for each channel
            second = self._reshaped(second, (1, 1, *second.shape))
        product = self._product(self._float(first), self._float(second))
        factor = self._factors(node.inputs[0], self._program.quantization[node.inputs[1]].scale, node.output)
        return self._converted(self._scaled(product, factor.item()), self._quantization(node.output))

    def _float(self, x: xnn.Value) -> xnn.Value:
        """Return int8 less its zero point as floats."""
        found = self._graph.value(x.shape, xnn.FLOAT)
        self._graph.node(xnn.CONVERT, {0: x, 1: found})
        return found

    def _product(self, x: xnn.Value, y: xnn.Value) -> xnn.Value:
        found = self._graph.value(x.shape, xnn.FLOAT)
        self._graph.node(xnn.MULTIPLY, {0: x, 1: y, 2: found})
        return found

    def _scaled(self, x: xnn.Value, factor: float) -> xnn.Value:
        """Return ``x`` times ``factor``, which is a constant of the file and comes in as a tensor.

        In the delegate it would be lost: XNNPACK copies the constants of layers, but reads a factor where it lies, and
        ExecuTorch gives the bytes of a delegate back as soon as it is loaded.
        """
        number = self._writer.constant(np.full((1,) * len(x.shape), factor, np.float32), charge=False, shared=False)
        self._given.append(number)
        return self._product(x, self._graph.input(number.shape, xnn.FLOAT))

    def _window(self, node: Window) -> xnn.Value:
        """Return rows beside their neighbours, for others than layers."""
        graph, x = self._graph, self._value(node.input)
        _, _, words, channels = x.shape
        before = (node.width - 1) // 2
        longer = graph.value((1, 1, words + node.width - 1, channels), xnn.INT8, x.quantization)
        graph.node(xnn.PAD, {0: (0, 0, before, 0), 1: (0, 0, node.width - 1 - before, 0), 2: 0.0, 3: x, 4: longer})
        parts = [graph.value(x.shape, xnn.INT8, x.quantization) for _ in range(node.width)]
        for i, part in enumerate(parts):
            graph.node(xnn.SLICE, {0: 4, 1: (0, 0, i, 0), 2: x.shape, 3: longer, 4: part})
        return self._concat(parts)

    def _concat(self, parts: list[xnn.Value]) -> xnn.Value:
        while len(parts) > 1:
            taken, lead = parts[:_MOST_PARTS], parts[0].shape[:-1]
            shape = (*lead, sum(part.shape[-1] for part in taken))
            found = self._graph.value(shape, xnn.INT8, taken[0].quantization)
            fields = {0: len(lead), 5: found} | dict(enumerate(taken, start=1))
            self._graph.node(xnn.CONCAT + len(taken) - 2, fields)
            parts = [found, *parts[_MOST_PARTS:]]
        return parts[0]

    def _looked_up(self, node: Lookup) -> Tensor:
        """Bytes from 0 to 255 are places in the table."""
        assert node.table is not None
        writer, source = self._writer, self._outside[node.input]
        places = self._call("_to_copy.out", source, False, None, writer.tensor(source.shape, INT32))
        if source.kind == INT8:
            self._call("add.Scalar_out", places, 128, 1, places)
        table = writer.constant(node.table[:, None], INT8)
        found = writer.tensor((*source.shape, 1), INT8)
        return self._call("embedding.out", table, places, -1, False, False, found).view(source.shape)

    def _centred(self, name: str) -> Tensor:
        """Return a map as floats less their zero point, the channels first."""
        writer, source = self._writer, self._outside[name]
        _, height, width, channels = source.shape
        moved = writer.tensor((1, channels, height, width), source.kind)
        self._call("permute_copy.out", source, [0, 3, 1, 2], moved)
        real = self._call("_to_copy.out", moved, False, None, writer.tensor(moved.shape, FLOAT))
        if source.kind == INT8:
            self._call("sub.Scalar_out", real, Learned(self._program.quantization[name].zero_point), 1, real)
        return real

    def _softmax(self, node: Softmax) -> None:
        real = self._scaled(self._float(self._value(node.input)), self._program.quantization[node.input].scale)
        found = self._graph.value(real.shape, xnn.FLOAT)
        self._graph.node(xnn.SOFTMAX, {0: real, 1: found})
        self._delegate([found], [self._writer.tensor(found.shape, FLOAT)], [node.output])

    def _call(self, kernel: str, *arguments: Value) -> Tensor:
        return self._writer.call(f"aten::{kernel}", *arguments)


def _places(kernel: tuple[int, ...], stride: int, padding: Padding) -> dict[int, Any]:
    """Return the first fields of a node over places: padding, kernel, steps, dilation."""
    top, left, bottom, right = padding
    return dict(enumerate((top, right, bottom, left, *kernel, stride, stride, 1, 1)))
