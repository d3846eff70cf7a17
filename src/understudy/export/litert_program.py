"""Nodes of an integer program to LiteRT operators whose kernels follow ``spec/program.md`` exactly.

Rows of tokens are int8 ``[1, 1, W, E]`` or ``[W, E]``, images ``[1, H, W, C]``, vectors any shape whose elements in order
are the vector.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt

from understudy.export.litert_boxes import write_box_projection
from understudy.export.litert_flatbuffer import FLOAT32, INT4, INT8, INT16, INT32, UINT8, Options
from understudy.export.litert_lookup import write_lookup
from understudy.export.litert_numbers import write_standardized
from understudy.export.litert_sound import write_log_mel
from understudy.export.litert_tensors import TensorWriter
from understudy.export.litert_text import write_text_projection
from understudy.export.litert_tokens import write_attention, write_layer_norm, write_place, write_positions
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
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.shapes import same_padding
from understudy.program.tokens import Attention, LayerNorm, Place, Positions

Int8Array = npt.NDArray[np.int8]

_RELU = 1
_SAME, _VALID = 0, 1


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the ``.tflite`` file of an integer ``program``, and the bytes of each linear's numbers and of the projection's."""
    return ProgramWriter(program).file()


class ProgramWriter(TensorWriter):
    """Turns nodes into operators one after the other; ``litert_float.py`` has one whose tensors are float32."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._tensors: dict[str, int] = {}
        self._windows: dict[str, Window] = {}
        self._row_tensors: dict[str, int] = {}
        self._transposed: dict[str, int] = {}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        """Return the file, and owners of numbers in it to their bytes."""
        first = self._program.source
        if isinstance(first, Image):
            scale = first.quantization.scale
            source = self._writer.tensor((1, *first.shape), UINT8, scale=scale, zero_point=0, name=first.input)
        elif isinstance(first, Standardize):
            source = self._writer.tensor((1, *first.shape), FLOAT32, name=first.input)
        else:
            kind = INT16 if isinstance(first, Sound) else INT32
            source = self._writer.tensor((1, *first.input_shape), kind, name=first.input)
        self._tensors[first.input] = source
        for node in self._program.nodes:
            self._writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv | Lookup | Positions) else ""
            self._tensors[node.output] = self._node(node)
        content = self._writer.finish(inputs=[source], outputs=[self._tensors[self._program.nodes[-1].output]])
        return content, self._writer.stored_bytes

    def _node(self, node: Node) -> int:
        match node:
            case ProjectText():
                return self._begun(node, write_text_projection(self._writer, node.projection, self._tensors[node.input]))
            case Image():
                return self._image(node)
            case Sound():
                image = self._int8(node.output, (1, *node.log_mel.shape))
                return self._begun(node, write_log_mel(self._writer, node.log_mel, self._tensors[node.input], image))
            case Standardize():
                steps = self._begun(node, write_standardized(self._writer, node, self._tensors[node.input]))
                return steps if len(node.shape) == 1 else self._reshaped(steps, node.output, (1, *node.output_shape))
            case ProjectVector():
                raise TypeError("an integer program has a Linear in place of a ProjectVector")
            case ProjectBoxes():
                return self._begun(node, self._boxes(node))
            case Linear():
                return self._linear(node)
            case Conv() | DepthwiseConv():
                return self._conv(node)
            case Window():
                self._windows[node.output] = node
                return self._window(node)
            case MaxPool():
                return self._max_pool(node)
            case SumPool():
                return self._sum_pool(node)
            case LocalMaxPool():
                return self._local_max_pool(node)
            case Add():
                return self._add(node)
            case Lookup():
                return self._lookup(node)
            case Multiply():
                return self._multiply(node)
            case Scan():
                raise TypeError(f"a recurrence: {node.output}")
            case Flatten():
                return self._reshaped(self._tensors[node.input], node.output, (1, *self._shapes[node.output]))
            case Concat():
                return self._concat(node)
            case Positions():
                return self._positions(node)
            case Place():
                output = self._tensor(node.output, (1, 1, 1, self._shapes[node.output][0]))
                return write_place(self._writer, self._rows(node.input), node.index, output)
            case LayerNorm():
                source = self._flat(node.input) if len(self._shapes[node.input]) == 1 else self._tensors[node.input]
                return self._rounded(node.output, write_layer_norm(self._writer, self._real(source), epsilon=node.epsilon))
            case Attention():
                real = [self._real(self._tensors[name]) for name in node.inputs]
                mixed = write_attention(self._writer, real, heads=node.heads, factor=node.factor)
                return self._rounded(node.output, mixed)
            case Softmax():
                return self._softmax(node)

    def _image(self, node: Image) -> int:
        pixels = self._tensors[node.input]
        if not self._is_read_as_int8(node):
            return pixels
        return self._writer.operator("QUANTIZE", [pixels], self._int8(node.output, (1, *node.shape)))

    def _is_read_as_int8(self, image: Image) -> bool:
        others = [node for node in self._program.nodes[1:] if not isinstance(node, ProjectBoxes)]
        return any(image.output in inputs_of(n) for n in others)

    def _boxes(self, node: ProjectBoxes) -> int:
        source, zero_point = self._tensors[node.input], self._program.quantization[node.input].zero_point
        if isinstance(self._program.nodes[0], Image) and node.input == self._program.source.output:
            source, zero_point = self._tensors[self._program.source.input], 0  # the pixels themselves
        return write_box_projection(self._writer, node.projection, source, zero_point=zero_point)

    def _linear(self, node: Linear) -> int:
        weight = node.weight.astype(np.int8)
        window = self._windows.get(node.input)
        if window is not None:
            if self._tensors[node.input] == self._tensors[window.input]:
                return self._fused_window(node, window)
            if self._writer.shape(self._tensors[node.input])[-1] == window.width:
                # the tensor has the neighbours of one channel beside each other, the program the channels of one neighbour
                weight = weight.reshape(len(weight), window.width, -1).transpose(0, 2, 1).reshape(weight.shape)
        inputs = [self._tensors[node.input], self._weights(node, weight), self._bias(node)]
        *rows, width = self._shapes[node.output]
        image = bool(rows) and len(self._writer.shape(inputs[0])) == 4 and self._writer.shape(inputs[0])[-1] == weight.shape[1]
        lead = (1,) * (3 - len(rows)) if image else () if rows else (1,)
        output = self._tensor(node.output, (*lead, *rows, width))
        options = {"keepNumDims": image, "fusedActivationFunction": _RELU if node.relu else 0}
        made = self._writer.operator("FULLY_CONNECTED", inputs, output, ("FullyConnectedOptions", options))
        return self._bounded(made, node.output, relu=node.relu)

    def _conv(self, node: Conv | DepthwiseConv) -> int:
        weight = node.weight.astype(np.int8)
        depthwise = isinstance(node, DepthwiseConv)
        source, padding = self._around(node, kernel=weight.shape[1:3], value=self._program.quantization[node.input].zero_point)
        options = {
            "padding": padding,
            "strideW": node.stride,
            "strideH": node.stride,
            "fusedActivationFunction": _RELU if node.relu else 0,
            **({"depthMultiplier": 1} if depthwise else {}),
        }
        if depthwise:
            weight = weight.transpose(1, 2, 0)[None]
        assert node.weight_scale is not None
        weights = self._weight(weight, node.weight_scale, axis=3 if depthwise else 0)
        output = self._tensor(node.output, (1, *self._shapes[node.output]))
        operator, table = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
        made = self._writer.operator(operator, [source, weights, self._bias(node, required=True)], output, (table, options))
        return self._bounded(made, node.output, relu=node.relu)

    def _around(self, node: Conv | DepthwiseConv | LocalMaxPool, *, kernel: tuple[int, ...], value: int) -> tuple[int, int]:
        """Return the input and the scheme of padding; with ``value`` around it where neither SAME nor VALID is meant."""
        top, left, bottom, right = node.padding
        height, width, channels = self._shapes[node.input]
        source = self._tensors[node.input]
        if node.padding == same_padding((height, width), kernel=(kernel[0], kernel[1]), stride=node.stride):
            return source, _SAME
        if not any(node.padding):
            return source, _VALID
        quantization = self._program.quantization[node.input]
        pads = np.asarray([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        inputs = [source, self._writer.tensor(pads.shape, INT32, data=pads)]
        code, options = "PAD", "PadOptions"
        if value != quantization.zero_point:
            code, options = "PADV2", "PadV2Options"
            inputs.append(self._constant(node.input, value))
        output = self._tensor(node.input, (1, height + top + bottom, width + left + right, channels))
        return self._writer.operator(code, inputs, output, (options, {})), _VALID

    def _local_max_pool(self, node: LocalMaxPool) -> int:
        source, padding = self._around(node, kernel=node.kernel, value=-128)
        options = {
            "padding": padding,
            "strideW": node.stride,
            "strideH": node.stride,
            "filterHeight": node.kernel[0],
            "filterWidth": node.kernel[1],
        }
        output = self._tensor(node.output, (1, *self._shapes[node.output]))
        return self._writer.operator("MAX_POOL_2D", [source], output, ("Pool2DOptions", options))

    def _add(self, node: Add) -> int:
        """Both inputs in the same shape: vectors may have come in several."""
        flat = len(self._shapes[node.output]) == 1
        tensors = [self._flat(name) if flat else self._tensors[name] for name in node.inputs]
        output = self._tensor(node.output, (1, *self._shapes[node.output]))
        options: Options = ("AddOptions", {"fusedActivationFunction": _RELU if node.relu else 0})
        return self._bounded(self._writer.operator("ADD", tensors, output, options), node.output, relu=node.relu)

    def _multiply(self, node: Multiply) -> int:
        shape = self._shapes[node.output]
        tensors = [self._flat(name) if len(shape) == 1 else self._tensors[name] for name in node.inputs]
        if len(self._shapes[node.inputs[1]]) < len(shape):
            tensors[1] = self._reshaped(tensors[1], node.inputs[1], (1, 1, 1, shape[-1]))
        made = self._writer.operator("MUL", tensors, self._tensor(node.output, (1, *shape)), ("MulOptions", {}))
        return self._bounded(made, node.output)

    def _lookup(self, node: Lookup) -> int:
        assert node.table is not None
        quantization = self._program.quantization[node.output]
        return write_lookup(self._writer, self._tensors[node.input], node.table, quantization=quantization)

    def _positions(self, node: Positions) -> int:
        source, shape = self._tensors[node.input], (1, *self._shapes[node.output])
        if self._writer.shape(source) != shape:
            places = math.prod(self._shapes[node.input][:2])
            source = self._reshaped(source, node.input, (1, places, 1, shape[-1]))
        output, scale = self._tensor(node.output, shape), self._program.quantization[node.input].scale

        def table(shape: tuple[int, ...]) -> int:
            return self._weight(node.table.astype(np.int8).reshape(shape), scale)

        made = write_positions(self._writer, source, output, padded=partial(self._tensor, node.input), table=table)
        return self._bounded(made, node.output)

    def _weights(self, node: Linear, weight: Int8Array) -> int:
        # 4-bit rows of an odd width do not end at a byte; the delegate refuses them, and the plain kernels round otherwise
        kind = INT4 if node.bits == 4 and weight.shape[-1] % 2 == 0 else INT8
        assert node.weight_scale is not None
        return self._weight(weight, node.weight_scale, kind=kind)

    def _bias(self, node: Layer, *, required: bool = False) -> int:
        """Return the bias tensor, -1 for none; CONV_2D requires one."""
        if node.bias is None and not required:
            return -1
        bias = np.zeros(len(node.weight), np.int32) if node.bias is None else node.bias.astype(np.int32)
        assert node.weight_scale is not None
        return self._sums(bias, np.float32(self._program.quantization[node.input].scale) * node.weight_scale)

    def _is_fused(self, window: Window) -> bool:
        """Return whether every reader has 8-bit weights, so that one CONV_2D does window and layer; int4 CONV_2D is inexact."""
        return all(n.bits == 8 for n in self._program.linears if n.input == window.output)

    def _window(self, node: Window) -> int:
        """One channel, E columns and ``width`` filters that each copy a neighbour: slices would cost 200 bytes more."""
        readers = [n for n in self._program.nodes if node.output in inputs_of(n)]
        by_linear = all(isinstance(reader, Linear) for reader in readers)
        if by_linear and self._is_fused(node):
            return self._tensors[node.input]
        words, channels = self._shapes[node.input]
        pixels = self._reshaped(self._tensors[node.input], node.input, (1, words, channels, 1))
        weights = self._weight(np.eye(node.width, dtype=np.int8)[:, :, None, None], 1)
        bias = self._sums(np.zeros(node.width, np.int32), self._program.quantization[node.input].scale)
        output = self._tensor(node.output, (1, words, channels, node.width))
        options: Options = ("Conv2DOptions", {"padding": _SAME, "strideW": 1, "strideH": 1})
        beside = self._writer.operator("CONV_2D", [pixels, weights, bias], output, options)
        if by_linear:
            return beside
        swapped = self._swapped(beside, node.output)
        return self._reshaped(swapped, node.output, (1, 1, words, node.width * channels))

    def _fused_window(self, node: Linear, window: Window) -> int:
        words, channels = self._shapes[window.input]
        kernel = node.weight.astype(np.int8).reshape(-1, 1, window.width, channels)
        output = self._tensor(node.output, (1, 1, words, len(kernel)))
        options = {"padding": _SAME, "strideW": 1, "strideH": 1, "fusedActivationFunction": _RELU if node.relu else 0}
        source, image = self._tensors[window.input], (1, 1, words, channels)
        if self._writer.shape(source) != image:
            source = self._reshaped(source, window.input, image)
        inputs = [source, self._weights(node, kernel), self._bias(node, required=True)]
        made = self._writer.operator("CONV_2D", inputs, output, ("Conv2DOptions", options))
        return self._bounded(made, node.output, relu=node.relu)

    def _rows(self, name: str) -> int:
        """Return a tensor as rows, which an image is not."""
        *places, channels = self._shapes[name]
        if len(places) == 2 and name not in self._row_tensors:
            self._row_tensors[name] = self._reshaped(self._tensors[name], name, (1, 1, math.prod(places), channels))
        return self._row_tensors.get(name, self._tensors[name])

    def _columns(self, name: str) -> int:
        """Return rows ``[..., W, E]`` as ``[..., E, W]``."""
        if name not in self._transposed:
            self._transposed[name] = self._swapped(self._rows(name), name)
        return self._transposed[name]

    def _swapped(self, tensor: int, name: str) -> int:
        """Return ``tensor``, quantized as ``name``, with its last two axes exchanged."""
        *rest, rows, columns = self._writer.shape(tensor)
        order = np.asarray([*range(len(rest)), len(rest) + 1, len(rest)], np.int32)
        inputs = [tensor, self._writer.tensor(order.shape, INT32, data=order)]
        return self._writer.operator("TRANSPOSE", inputs, self._tensor(name, (*rest, columns, rows)), ("TransposeOptions", {}))

    def _reshaped(self, tensor: int, name: str, shape: tuple[int, ...]) -> int:
        """Return ``tensor``, quantized as ``name``, in another shape."""
        options: Options = ("ReshapeOptions", {"newShape": list(shape)})
        return self._writer.operator("RESHAPE", [tensor], self._tensor(name, shape), options)

    def _max_pool(self, node: MaxPool) -> int:
        *places, channels = self._shapes[node.input]
        if self._is_transposed(node.input):
            source = self._columns(node.input)
            *rest, rows, columns = self._writer.shape(source)
            axes: int | range = len(rest) + 1
            shape: tuple[int, ...] = (*rest, rows, 1)
        elif len(places) == 2:  # over an image as it is
            source, axes, shape = self._tensors[node.input], range(1, 3), (1, 1, 1, channels)
        else:
            source = self._rows(node.input)
            *rest, _, columns = self._writer.shape(source)
            axes, shape = len(rest), (*rest, 1, columns)
        numbers = np.asarray(axes, np.int32)
        inputs = [source, self._writer.tensor(numbers.shape, INT32, data=numbers)]
        options: Options = ("ReducerOptions", {"keepDims": True})
        return self._writer.operator("REDUCE_MAX", inputs, self._tensor(node.output, shape), options)

    def _is_transposed(self, name: str) -> bool:
        """Return whether sums are made of the tensor, which read it as columns."""
        return any(isinstance(n, SumPool) and n.input == name for n in self._program.nodes)

    def _sum_pool(self, node: SumPool) -> int:
        """A linear layer over the rows whose weights are all 1 and whose scale is the multiplier."""
        words, columns = math.prod(self._shapes[node.input][:-1]), self._columns(node.input)
        ones = self._weight(np.ones((1, words), np.int8), node.multiplier)
        output = self._tensor(node.output, (*self._writer.shape(columns)[:-1], 1))
        options: Options = ("FullyConnectedOptions", {"keepNumDims": True})
        return self._writer.operator("FULLY_CONNECTED", [columns, ones, -1], output, options)

    def _concat(self, node: Concat) -> int:
        tensors = [self._tensors[name] for name in node.inputs]
        *places, total = self._shapes[node.output]
        shapes = [self._writer.shape(tensor) for tensor in tensors]
        shape: tuple[int, ...]
        if places:
            shape, axis = (1, *places, total), len(places) + 1
        elif all(shape[-1] == 1 and len(shape) == len(shapes[0]) for shape in shapes):
            axis = len(shapes[0]) - 2
            shape = (*shapes[0][:axis], total, 1)
        else:
            tensors = [self._flat(name) for name in node.inputs]
            shape, axis = (1, total), 1
        return self._writer.operator(
            "CONCATENATION", tensors, self._tensor(node.output, shape), ("ConcatenationOptions", {"axis": axis})
        )

    def _flat(self, name: str) -> int:
        shape = (1, self._shapes[name][0])
        if self._writer.shape(self._tensors[name]) == shape:
            return self._tensors[name]
        return self._reshaped(self._tensors[name], name, shape)

    def _softmax(self, node: Softmax) -> int:
        shape = (1, *self._shapes[node.input])
        real = self._real(self._flat(node.input))
        output = self._writer.tensor(shape, FLOAT32, name=node.output)
        return self._writer.operator("SOFTMAX", [real], output, ("SoftmaxOptions", {"beta": 1.0}))
