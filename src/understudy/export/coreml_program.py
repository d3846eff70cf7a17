"""Nodes of an integer program to Core ML operators on floats that hold integers exactly.

Every int8 tensor is float32 ``q - zero_point``: sums are exact in float32 (spec/program.md 2), padding is 0, and requantization
is a product, ``round`` and ``clip``. Rows of tokens are ``[1, E, 1, W]``, images ``[1, C, H, W]``, vectors ``[1, E, 1, 1]``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from understudy.export.coreml_boxes import write_box_projection
from understudy.export.coreml_messages import MIL
from understudy.export.coreml_package import FOLDER
from understudy.export.coreml_sound import write_log_mel
from understudy.export.coreml_text import integers, write_text_projection
from understudy.export.coreml_writer import CoremlWriter
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

_NIBBLE = np.arange(-8, 8)


def write_program(program: Program) -> tuple[bytes, dict[str, int]]:
    """Return the package of an integer ``program``, and the bytes of each layer's numbers and of the projection's."""
    return ProgramWriter(program).file()


class ProgramWriter:
    """Turns nodes into operators one after the other; ``coreml_float.py`` has one whose tensors are real numbers."""

    folder = FOLDER
    """The package's own."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = CoremlWriter()
        self._tensors: dict[str, str] = {}
        self._windows = {node.output: node for node in program.nodes if isinstance(node, Window)}
        self._shapes = program.shapes()

    def file(self) -> tuple[bytes, dict[str, int]]:
        """Return the package and owners of numbers in it to their bytes."""
        source = self._program.source
        real = isinstance(source, Standardize)
        self._tensors[source.input] = self._writer.input(source.input, (1, *source.input_shape), real=real)
        for node in self._program.nodes:
            self._writer.owner = node.output if isinstance(node, Linear | Conv | DepthwiseConv) else ""
            self._tensors[node.output] = self._node(node)
        content = self._writer.finish(self._tensors[self._program.nodes[-1].output], folder=self.folder)
        return content, self._writer.stored_bytes

    def _node(self, node: Node) -> str:
        match node:
            case ProjectText():
                return write_text_projection(self._writer, node.projection, self._tensors[node.input])
            case Image():
                return self._image(node)
            case Standardize():
                return self._standardized(node)
            case Sound():
                return write_log_mel(self._writer, node.log_mel, self._tensors[node.input])
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
                return self._pooled("reduce_max", node.input)
            case SumPool():
                return self._sum_pool(node)
            case Concat():
                names, shape = [self._tensors[name] for name in node.inputs], self._shape(node.output)
                return self._writer.operator("concat", {"values": names}, shape, axis=np.int32(1), interleave=False)
            case LocalMaxPool():
                return self._local_max_pool(node)
            case Add():
                return self._clipped(self._pairwise("add", node), node.output, relu=node.relu)
            case Lookup():
                return self._lookup(node)
            case Multiply():
                return self._multiply(node)
            case Flatten():
                return self._flatten(node)
            case Softmax():
                return self._softmax(node)
            case Scan() | Positions() | Place() | LayerNorm() | Attention():
                raise TypeError("refused before anything is written")

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that a tensor of the program has in the file."""
        *places, channels = self._shapes[name]
        return (1, channels, *(places if len(places) == 2 else (1, *(places or (1,)))))

    def _image(self, node: Image) -> str:
        """Return the pixels: q - zero_point is the pixel itself."""
        height, width, channels = node.shape
        shape, pixels = (1, channels, height, width), self._tensors[node.input]
        real = self._writer.operator("cast", {"x": pixels}, (1, *node.shape), dtype="fp32")
        return self._writer.operator("transpose", {"x": real}, shape, perm=integers(0, 3, 1, 2))

    def _standardized(self, node: Standardize) -> str:
        """Quantize in the shape that is read, then move the channels of a window before its steps."""
        writer, shape = self._writer, (1, *node.shape)

        def changed(kind: str, x: str, y: npt.ArrayLike) -> str:
            return writer.operator(kind, {"x": x, "y": writer.floats(y)}, shape)

        real = changed("mul", changed("sub", self._tensors[node.input], node.offset), node.multiplier)
        known = writer.operator("equal", {"x": real, "y": real}, shape, data_type=MIL.BOOL)  # NaN differs from itself
        zeros = writer.floats(np.zeros(shape))
        real = writer.operator("select", {"cond": known, "a": real, "b": zeros}, shape)
        real = writer.operator("mul", {"x": real}, shape, y=np.asarray(1 / node.quantization.scale, np.float32))
        rounded = writer.operator("round", {"x": real}, shape)
        steps = writer.operator("clip", {"x": rounded}, shape, alpha=np.float32(-128), beta=np.float32(127))
        if len(node.shape) == 2:
            shape = (1, *reversed(node.shape))
            steps = writer.operator("transpose", {"x": steps}, shape, perm=integers(0, 2, 1))
        shape = (*shape, 1) if len(node.shape) == 2 else (*shape, 1, 1)
        return writer.operator("reshape", {"x": steps}, shape, shape_=integers(*shape))

    def _boxes(self, node: ProjectBoxes, steps: str) -> str:
        return write_box_projection(self._writer, node.projection, steps)

    def _linear(self, node: Linear) -> str:
        """A convolution over the words; one that reads a window looks at several of them."""
        source, window = node.input, self._windows.get(node.input)
        if window is not None and self._tensors[source] != self._tensors[window.input]:
            window = None  # others read this window too, so it is a tensor of its own
        width = 1 if window is None else window.width
        kernel = node.weight.reshape(len(node.weight), width, -1).transpose(0, 2, 1)[:, :, None]
        pads = (0, 0, (width - 1) // 2, width - 1 - (width - 1) // 2)
        return self._convolved(node, source if window is None else window.input, kernel, pads)

    def _conv(self, node: Conv | DepthwiseConv) -> str:
        kernel = node.weight.transpose(0, 3, 1, 2) if isinstance(node, Conv) else node.weight[:, None]
        top, left, bottom, right = node.padding
        groups = len(kernel) if isinstance(node, DepthwiseConv) else 1
        return self._convolved(node, node.input, kernel, (top, bottom, left, right), stride=node.stride, groups=groups)

    def _convolved(
        self,
        node: Layer,
        source: str,
        kernel: npt.NDArray[np.generic],
        pads: tuple[int, ...],
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        sums = self._writer.operator(
            "conv",
            {"x": self._tensors[source], **self._weights(node, kernel)},
            self._shape(node.output),
            strides=integers(stride, stride),
            dilations=integers(1, 1),
            groups=np.int32(groups),
            pad_type="custom",
            pad=integers(*pads),
        )
        return self._activated(sums, node)

    def _weights(self, node: Layer, kernel: npt.NDArray[np.generic]) -> dict[str, str]:
        """Return the constants of a convolution with ``kernel``."""
        writer = self._writer
        weight = writer.nibbles(kernel.astype(np.int64) + 8, table=_NIBBLE) if node.bits == 4 else writer.bytes8(kernel)
        return {"weight": weight} if node.bias is None else {"weight": weight, "bias": writer.floats(node.bias)}

    def _activated(self, sums: str, node: Layer) -> str:
        """Return what a layer makes of its ``sums``."""
        scheme = self._program.quantization
        assert node.weight_scale is not None
        scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
        return self._requantized(sums, node.output, scale, relu=node.relu)

    def _sum_pool(self, node: SumPool) -> str:
        scheme = self._program.quantization
        scale = requantize_scale(scheme[node.input].scale, node.multiplier, scheme[node.output].scale)
        return self._requantized(self._pooled("reduce_sum", node.input), node.output, scale, relu=False)

    def _multiply(self, node: Multiply) -> str:
        scheme = self._program.quantization
        one, other, target = (scheme[name].scale for name in (*node.inputs, node.output))
        return self._requantized(self._pairwise("mul", node), node.output, requantize_scale(one, other, target), relu=False)

    def _requantized(self, sums: str, name: str, scale: npt.NDArray[np.float32], *, relu: bool) -> str:
        """Return ``clamp(round(sums * scale))`` less the zero point."""
        writer, shape = self._writer, self._writer.shape(sums)
        factor = writer.floats(scale.reshape(1, -1, 1, 1) if scale.size > 1 else scale.reshape(()))
        rounded = writer.operator("round", {"x": writer.operator("mul", {"x": sums, "y": factor}, shape)}, shape)
        return self._clipped(rounded, name, relu=relu)

    def _clipped(self, x: str, name: str, *, relu: bool) -> str:
        """Return what int8 holds of ``x``, which is the tensor ``name`` less its zero point."""
        low, high = self._bounds(self._program.quantization[name], relu=relu)
        return self._writer.operator("clip", {"x": x}, self._writer.shape(x), alpha=np.float32(low), beta=np.float32(high))

    def _bounds(self, quantization: Quantization, *, relu: bool) -> tuple[float, float]:
        """Return the least and the largest value of a tensor."""
        return 0 if relu else -128 - quantization.zero_point, 127 - quantization.zero_point

    def _real(self, x: str, name: str) -> str:
        """Return the real numbers of ``x``, whose values are those of the tensor ``name``."""
        scale = np.asarray(self._program.quantization[name].scale, np.float32)
        return self._writer.operator("mul", {"x": x}, self._writer.shape(x), y=scale)

    def _pairwise(self, kind: str, node: Add | Multiply) -> str:
        """Return sums or products; a number for each channel of a map is repeated over its places."""
        first, second = (self._tensors[name] for name in node.inputs)
        return self._writer.operator(kind, {"x": first, "y": second}, self._shape(node.output))

    def _lookup(self, node: Lookup) -> str:
        """Values from 0 to 255 are places in the table, whose numbers come out less their zero point."""
        assert node.table is not None
        writer, scheme, shape = self._writer, self._program.quantization, self._shape(node.output)
        inputs, offset = {"x": self._tensors[node.input]}, scheme[node.input].zero_point + 128
        place = writer.operator("add", inputs, shape, y=np.asarray(offset, np.float32))
        place = writer.operator("cast", {"x": place}, shape, data_type=MIL.INT32, dtype="int32")
        table = writer.bytes8(node.table, zero_point=scheme[node.output].zero_point)
        return writer.operator("gather", {"x": table, "indices": place}, shape, axis=np.int32(0))

    def _local_max_pool(self, node: LocalMaxPool) -> str:
        top, left, bottom, right = node.padding
        return self._writer.operator(
            "max_pool",
            {"x": self._tensors[node.input]},
            self._shape(node.output),
            kernel_sizes=integers(*node.kernel),
            strides=integers(node.stride, node.stride),
            pad_type="custom",
            pad=integers(top, bottom, left, right),
            ceil_mode=False,
        )

    def _flatten(self, node: Flatten) -> str:
        height, width, channels = self._shapes[node.input]
        inputs, shape = {"x": self._tensors[node.input]}, self._shape(node.output)
        last = self._writer.operator("transpose", inputs, (1, height, width, channels), perm=integers(0, 2, 3, 1))
        return self._writer.operator("reshape", {"x": last}, shape, shape_=integers(*shape))

    def _window(self, node: Window) -> str:
        """Return what linear nodes read: the window's input, because their convolutions look at neighbours themselves."""
        readers = [n for n in self._program.nodes if node.output in inputs_of(n)]
        source, writer = self._tensors[node.input], self._writer
        if all(isinstance(reader, Linear) for reader in readers):
            return source
        words, channels = self._shapes[node.input]
        before = (node.width - 1) // 2
        pad = integers(0, 0, 0, 0, 0, 0, before, node.width - 1 - before)
        longer = (1, channels, 1, words + node.width - 1)
        padded = writer.operator("pad", {"x": source}, longer, pad=pad, mode="constant", constant_val=np.float32(0))
        parts = [
            writer.operator(
                "slice_by_index",
                {"x": padded},
                (1, channels, 1, words),
                begin=integers(0, 0, 0, i),
                end=integers(1, channels, 1, i + words),
            )
            for i in range(node.width)
        ]
        shape = (1, channels * node.width, 1, words)
        return writer.operator("concat", {"values": parts}, shape, axis=np.int32(1), interleave=False)

    def _pooled(self, kind: str, name: str) -> str:
        """Return what ``kind`` makes of all rows or places."""
        shape = (1, self._shapes[name][-1], 1, 1)
        return self._writer.operator(kind, {"x": self._tensors[name]}, shape, axes=integers(2, 3), keep_dims=True)

    def _softmax(self, node: Softmax) -> str:
        shape = (1, math.prod(self._shapes[node.input]))
        flat = self._writer.operator("reshape", {"x": self._tensors[node.input]}, shape, shape_=integers(*shape))
        real = self._real(flat, node.input)
        return self._writer.operator("softmax", {"x": real}, shape, axis=np.int32(-1), output=node.output)
