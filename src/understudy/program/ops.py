"""The op set: frozen nodes over named tensors with static shapes; ``spec/program.md`` gives each one's arithmetic.

A *float* program holds float32 weights and no quantization. An *integer* program holds int8 weights, int32 biases and a
``Quantization`` for every tensor. Shapes leave the batch axis out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, Island, Place, Positions
from understudy.projections.boxes import BoxProjection
from understudy.projections.dense import DenseProjection, coefficients
from understudy.projections.log_mel import LogMel
from understudy.projections.text import TextProjection

Shape = tuple[int, ...]
ACCUMULATOR_LIMIT = 2**24
"""Integer sums stay below this, so that float32 holds them exactly; spec/program.md 2."""
WEIGHT_LIMIT = {4: 7, 8: 127}
"""Largest magnitude of a weight by its bits; spec/program.md 1."""


@dataclass(frozen=True)
class Quantization:
    """Affine int8: ``real = scale * (q - zero_point)``; ``scale`` is a float32 value."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class ProjectText:
    """int32 bytes ``[max_bytes]`` to int8 features; scale 1, zero point 0; spec/projection.md 2."""

    quantization: ClassVar[Quantization] = Quantization(1.0, 0)
    input: str
    output: str
    projection: TextProjection

    @property
    def input_shape(self) -> Shape:
        """``(max_bytes,)``."""
        return (self.projection.max_bytes,)


@dataclass(frozen=True)
class Image:
    """uint8 pixels ``[H, W, C]`` to int8: ``q = pixel - 128``, so that real values are ``pixel / 255``; spec/program.md 9."""

    quantization: ClassVar[Quantization] = Quantization(float(np.float32(1 / 255)), -128)
    input: str
    output: str
    shape: tuple[int, int, int]

    @property
    def input_shape(self) -> Shape:
        """``(H, W, C)``."""
        return self.shape


@dataclass(frozen=True)
class Sound:
    """int16 samples ``[samples]`` to their log-mel picture ``[frames, bands, 1]``, ``q = value - 128``; spec/program.md 13."""

    quantization: ClassVar[Quantization] = Image.quantization
    input: str
    output: str
    log_mel: LogMel

    @property
    def input_shape(self) -> Shape:
        """``(samples,)``."""
        return (self.log_mel.samples,)


@dataclass(frozen=True)
class ProjectBoxes:
    """int8 ``[H, W, C]`` to +1 or -1 ``[T * d]``: scale 1, zero point 0; spec/program.md 12.

    The input may be an image or what convolutions made of one. It learns nothing.
    """

    quantization: ClassVar[Quantization] = Quantization(1.0, 0)
    input: str
    output: str
    projection: BoxProjection


@dataclass(frozen=True, eq=False)
class Standardize:
    """float32 numbers to int8: ``q = rint((x - offset) * multiplier / scale)``, 0 for NaN; spec/program.md 14.

    Attributes:
        shape: ``(d,)``, a vector, or ``(T, C)``, a window of T steps and C channels; a window comes out as ``[T, 1, C]``.
        offset: float32 ``[d]`` or ``[C]``: the mean of each feature or channel.
        multiplier: float32 of the same shape: one over its deviation, 0 for one that never changes.
    """

    quantization: ClassVar[Quantization] = Quantization(2.0**-5, 0)  # a power of two: kernels divide or multiply by it
    input: str
    output: str
    shape: tuple[int, ...]
    offset: npt.NDArray[np.float32]
    multiplier: npt.NDArray[np.float32]

    @property
    def input_shape(self) -> Shape:
        """``(d,)`` or ``(T, C)``."""
        return self.shape

    @property
    def output_shape(self) -> Shape:
        """``(d,)`` or ``(T, 1, C)``."""
        return self.shape if len(self.shape) == 1 else (self.shape[0], 1, self.shape[1])


@dataclass(frozen=True)
class ProjectVector:
    """``[..., n] -> [..., T * d]`` bits 0 and 1 by fixed hyperplanes; spec/projection.md 3. In float programs only.

    An integer program has the ``Linear`` in its place that ``as_linear`` gives, so that nothing behind it knows projections.
    """

    quantization: ClassVar[Quantization] = Quantization(float(np.float32(1 / 255)), -128)
    input: str
    output: str
    projection: DenseProjection

    def as_linear(self, source: Quantization) -> Linear:
        """Return the layer with relu that saturates at 1 for every positive sum, and at 0 for all others.

        Its weights are -1 and 1; its scale makes 255 steps of the least sum. ``source`` is the input's quantization, around 0.
        """
        assert source.zero_point == 0
        scale = np.float32(255 * self.quantization.scale / source.scale)
        weight = coefficients(self.projection)
        return Linear(self.input, self.output, weight, None, True, 4, False, np.full(1, scale, np.float32))


@dataclass(frozen=True, eq=False)
class Linear:
    """``[..., in] -> [..., out]`` on the last axis, optionally followed by relu; spec/program.md 3.

    Attributes:
        weight: float32 ``[out, in]``, in an integer program int8 with values in +-127, or +-7 when ``bits`` is 4.
        bias: float32 or int32 ``[out]``, or None.
        weight_scale: integer program only: float32 ``[1]`` (per tensor) or ``[out]`` (per channel).
        ceiling: float program only: the largest output, 6 for relu6; in an integer program the range of int8 ends there.
    """

    input: str
    output: str
    weight: npt.NDArray[np.float32] | npt.NDArray[np.int8]
    bias: npt.NDArray[np.float32] | npt.NDArray[np.int32] | None
    relu: bool
    bits: int = 8
    per_channel: bool = True
    weight_scale: npt.NDArray[np.float32] | None = None
    ceiling: float | None = None


Padding = tuple[int, int, int, int]
"""Rows and columns of real zeros: top, left, bottom, right."""


@dataclass(frozen=True, eq=False)
class Conv:
    """``[H, W, I] -> [H', W', O]``: a layer over each place's neighbours, optionally followed by relu; spec/program.md 10.

    Attributes:
        weight: float32 or int8 ``[O, kernel height, kernel width, I]``.
        bias: float32 or int32 ``[O]``, or None.
        stride: rows, and columns, from one output to the next.
        padding: see ``Padding``.
        weight_scale: integer program only: float32 ``[1]`` (per tensor) or ``[O]`` (per channel).
        ceiling: see ``Linear``.
    """

    bits: ClassVar[int] = 8  # LiteRT's convolutions with 4-bit weights do not follow spec/program.md 2
    input: str
    output: str
    weight: npt.NDArray[np.float32] | npt.NDArray[np.int8]
    bias: npt.NDArray[np.float32] | npt.NDArray[np.int32] | None
    stride: int
    padding: Padding
    relu: bool
    per_channel: bool = True
    weight_scale: npt.NDArray[np.float32] | None = None
    ceiling: float | None = None


@dataclass(frozen=True, eq=False)
class DepthwiseConv:
    """``[H, W, C] -> [H', W', C]``: as ``Conv``, each channel for itself; spec/program.md 11.

    Attributes:
        weight: float32 or int8 ``[C, kernel height, kernel width]``.
        bias: float32 or int32 ``[C]``, or None.
        stride: rows, and columns, from one output to the next.
        padding: see ``Padding``.
        weight_scale: integer program only: float32 ``[1]`` (per tensor) or ``[C]`` (per channel).
        ceiling: see ``Linear``.
    """

    bits: ClassVar[int] = 8
    input: str
    output: str
    weight: npt.NDArray[np.float32] | npt.NDArray[np.int8]
    bias: npt.NDArray[np.float32] | npt.NDArray[np.int32] | None
    stride: int
    padding: Padding
    relu: bool
    per_channel: bool = True
    weight_scale: npt.NDArray[np.float32] | None = None
    ceiling: float | None = None


@dataclass(frozen=True)
class Window:
    """``[W, E] -> [W, width * E]``: each row beside its neighbours, offset-major, real zeros past the ends; spec 4."""

    input: str
    output: str
    width: int


@dataclass(frozen=True)
class MaxPool:
    """``[..., E] -> [E]``: the largest value over rows or places; input and output share their quantization; spec 5."""

    input: str
    output: str


@dataclass(frozen=True)
class SumPool:
    """``[..., E] -> [E]``: ``multiplier`` times the sum over rows or places; spec 6."""

    input: str
    output: str
    multiplier: float


@dataclass(frozen=True)
class LocalMaxPool:
    """``[H, W, C] -> [H', W', C]``: the largest value that each place sees of the input, as ``MaxPool``; spec 16.

    Attributes:
        kernel: rows and columns that a place sees.
        stride: rows, and columns, from one output to the next.
        padding: rows and columns around the input that hold no value at all.
    """

    input: str
    output: str
    kernel: tuple[int, int]
    stride: int
    padding: Padding


@dataclass(frozen=True)
class Add:
    """Two tensors of one shape, value by value, optionally followed by relu; all three share their scale; spec 17.

    Attributes:
        ceiling: see ``Linear``.
    """

    inputs: tuple[str, str]
    output: str
    relu: bool
    ceiling: float | None = None


@dataclass(frozen=True)
class Flatten:
    """``[H, W, C] -> [H * W * C]``: the same values in a row; spec 18."""

    input: str
    output: str


@dataclass(frozen=True)
class Scan:
    """``[T, 1, 2 * E] -> [T, 1, E]``: a gated recurrence over time; input and output share their quantization; spec 21.

    Of the last axis the first half are gates y, the second candidates c: ``h_t = h_{t-1} + (1 + y_t) / 2 * (c_t - h_{t-1})``
    with y and c in -1..1, beginning with 0. It learns nothing: what learns are the layers that it reads.
    """

    quantization: ClassVar[Quantization] = Quantization(2.0**-7, 0)
    input: str
    output: str


@dataclass(frozen=True)
class Concat:
    """``[..., A], [..., B], … -> [..., A + B + …]``; all inputs and the output share one quantization; spec 7."""

    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Softmax:
    """int8 logits ``[classes]`` to float32 probabilities: dequantize, then softmax in float; spec 8."""

    input: str
    output: str


Source = ProjectText | Image | Sound | Standardize
"""What a program begins with: it reads what a device has, learns nothing, and fixes its output's quantization."""
Layer = Linear | Conv | DepthwiseConv
"""What learns. Axis 0 of every weight is the output channel."""
Copy = Window | MaxPool | LocalMaxPool | Flatten | Place
"""What writes values of its input as they are, so that both share their quantization; a ``Concat`` does too."""
Pointwise = Add | Lookup | Multiply | Positions
Node = Source | ProjectVector | Layer | ProjectBoxes | Copy | SumPool | Pointwise | Scan | Concat | Island | Softmax


@dataclass(frozen=True, eq=False)
class Program:
    """Nodes in execution order: the first reads ``bytes``, ``pixels``, ``samples`` or ``values``, the last writes scores.

    Attributes:
        nodes: one ``Source`` first, one ``Softmax`` last.
        quantization: tensor name to ``Quantization``, for every tensor from features to logits; empty in a float program.
    """

    nodes: tuple[Node, ...]
    quantization: Mapping[str, Quantization] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """The node that reads the input: its type says which kind of input this is."""
        first = self.nodes[0]
        assert isinstance(first, ProjectText | Image | Sound | Standardize)
        return first

    @property
    def projection(self) -> TextProjection:
        """The text projection that a program for texts begins with."""
        first = self.nodes[0]
        assert isinstance(first, ProjectText)
        return first.projection

    @property
    def logits(self) -> str:
        """Name of the tensor that the softmax reads."""
        last = self.nodes[-1]
        assert isinstance(last, Softmax)
        return last.input

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The nodes with learned weights, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Linear | Conv | DepthwiseConv))

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Linear))

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.shapes()[self.logits][0]

    @property
    def weight_count(self) -> int:
        """Learned numbers: weights, biases and tables of positions."""
        tables = sum(node.table.size for node in self.nodes if isinstance(node, Positions))
        return tables + sum(n.weight.size + (0 if n.bias is None else n.bias.size) for n in self.layers)

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor, without the batch axis.

        Raises:
            ValueError: a node's input does not fit its weights.
        """
        from understudy.program.shapes import output_shape  # it imports the nodes above

        shapes: dict[str, Shape] = {self.source.input: self.source.input_shape}
        for node in self.nodes:
            shapes[node.output] = output_shape(node, shapes)
        return shapes


def inputs_of(node: Node) -> tuple[str, ...]:
    """Return the names of the tensors that ``node`` reads."""
    return node.inputs if isinstance(node, Concat | Add | Multiply | Attention) else (node.input,)
