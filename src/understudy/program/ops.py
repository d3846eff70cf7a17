"""The op set: frozen nodes over named tensors with static shapes; ``spec/program.md`` gives each one's arithmetic.

A *float* program holds float32 weights and no quantization. An *integer* program holds int8 weights, int32 biases and a
``Quantization`` for every tensor. Shapes leave the batch axis out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

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

    input: str
    output: str
    projection: TextProjection


@dataclass(frozen=True, eq=False)
class Linear:
    """``[..., in] -> [..., out]`` on the last axis, optionally followed by relu; spec/program.md 3.

    Attributes:
        weight: float32 ``[out, in]``, in an integer program int8 with values in +-127, or +-7 when ``bits`` is 4.
        bias: float32 or int32 ``[out]``, or None.
        weight_scale: integer program only: float32 ``[1]`` (per tensor) or ``[out]`` (per channel).
    """

    input: str
    output: str
    weight: npt.NDArray[np.float32] | npt.NDArray[np.int8]
    bias: npt.NDArray[np.float32] | npt.NDArray[np.int32] | None
    relu: bool
    bits: int = 8
    per_channel: bool = True
    weight_scale: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Window:
    """``[W, E] -> [W, width * E]``: each row beside its neighbours, offset-major, real zeros past the ends; spec 4."""

    input: str
    output: str
    width: int


@dataclass(frozen=True)
class MaxPool:
    """``[W, E] -> [E]``: the largest value over rows; input and output share their quantization; spec 5."""

    input: str
    output: str


@dataclass(frozen=True)
class SumPool:
    """``[W, E] -> [E]``: ``multiplier`` times the sum over rows; spec 6."""

    input: str
    output: str
    multiplier: float


@dataclass(frozen=True)
class Concat:
    """``[A], [B], … -> [A + B + …]``; all inputs and the output share one quantization; spec 7."""

    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Softmax:
    """int8 logits ``[classes]`` to float32 probabilities: dequantize, then softmax in float; spec 8."""

    input: str
    output: str


Node = ProjectText | Linear | Window | MaxPool | SumPool | Concat | Softmax


@dataclass(frozen=True, eq=False)
class Program:
    """Nodes in execution order: the first reads ``bytes``, the last writes ``probabilities``.

    Attributes:
        nodes: one ``ProjectText`` first, one ``Softmax`` last.
        quantization: tensor name to ``Quantization``, for every tensor from features to logits; empty in a float program.
    """

    nodes: tuple[Node, ...]
    quantization: Mapping[str, Quantization] = field(default_factory=dict)

    @property
    def projection(self) -> TextProjection:
        """The text projection that the program begins with."""
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
    def linears(self) -> tuple[Linear, ...]:
        """The nodes with learned weights, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Linear))

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.shapes()[self.logits][0]

    @property
    def weight_count(self) -> int:
        """Learned numbers: weights and biases."""
        return sum(n.weight.size + (0 if n.bias is None else n.bias.size) for n in self.linears)

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor, without the batch axis.

        Raises:
            ValueError: a node's input does not fit its weights.
        """
        shapes: dict[str, Shape] = {"bytes": (self.projection.max_bytes,)}
        for node in self.nodes:
            shapes[node.output] = _output_shape(node, shapes)
        return shapes


def _output_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape that ``node`` writes, given the shapes before it."""
    match node:
        case ProjectText():
            return node.projection.output_shape
        case Linear():
            *lead, width = shapes[node.input]
            if width != node.weight.shape[1]:
                raise ValueError(f"{node.output}: weights {node.weight.shape} cannot read {shapes[node.input]}")
            return (*lead, node.weight.shape[0])
        case Window():
            words, width = shapes[node.input]
            return (words, width * node.width)
        case MaxPool() | SumPool():
            return shapes[node.input][1:]
        case Concat():
            return (sum(shapes[name][0] for name in node.inputs),)
        case Softmax():
            return shapes[node.input]
