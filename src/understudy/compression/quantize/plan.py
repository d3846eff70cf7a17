"""How a student is quantized: a value that a training carries, and what it changes in a float program beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from understudy.compression.quantize.equalize import equalized
from understudy.compression.quantize.ranges import Ranges
from understudy.program.ops import Conv, DepthwiseConv, Linear, Node, Program

Mode = Literal["qat", "ptq"]


@dataclass(frozen=True)
class QuantizationPlan:
    """How a trained float program becomes an integer one.

    Attributes:
        mode: ``qat`` goes on training with rounded weights and learned scales, ``ptq`` rounds what was trained in float.
        ranges: the estimators of the scales, which ``qat`` begins from.
        equalized: cross-layer equalization comes first.
        per_channel: every layer has a weight scale for each channel, whatever its recipe says.
        eight_bits: layers with 8-bit weights, whatever their recipe says.
    """

    mode: Mode = "qat"
    ranges: Ranges = field(default_factory=Ranges)
    equalized: bool = False
    per_channel: bool = False
    eight_bits: tuple[str, ...] = ()

    def applied(self, program: Program) -> Program:
        """Return the float ``program`` that is quantized in place of ``program``."""
        if self.equalized:
            program = equalized(program)
        return replace(program, nodes=tuple(self._changed(node) for node in program.nodes))

    def _changed(self, node: Node) -> Node:
        if not isinstance(node, Linear | Conv | DepthwiseConv):
            return node
        if isinstance(node, Linear) and node.output in self.eight_bits:
            node = replace(node, bits=8)
        return replace(node, per_channel=True) if self.per_channel else node
