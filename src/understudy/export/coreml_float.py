"""Core ML in float32: ``model_float.mlpackage`` computes the program in real numbers, for Apple's graphics processors.

Tensors are float32 real numbers from the source's integers on and keep their ranges, which is one clip; ``spec/program.md`` 27.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.export.coreml import CoremlEvaluatedSession, CoremlExporter, CoremlSession
from understudy.export.coreml_program import ProgramWriter
from understudy.export.refused import need_no_recurrence, need_no_tokens, need_reals
from understudy.program.ops import (
    Image,
    Layer,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Quantization,
    Sound,
    Standardize,
    SumPool,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real import real_bounds, real_products
from understudy.program.real_curves import traced

FLOAT_FOLDER = "model_float.mlpackage"
_OPERATORS = {"div": "real_div", "max": "maximum", "min": "minimum"}
"""Primitives of curves whose operators have another name."""


class CoremlFloatSession(CoremlSession):
    """A float package in Core ML on the processor, batch 1, on Apple's systems."""

    computes_in = "float32"


class CoremlFloatEvaluatedSession(CoremlEvaluatedSession):
    """A float package evaluated in NumPy."""

    computes_in = "float32"


class CoremlFloatExporter(CoremlExporter):
    """Writes and opens ``model_float.mlpackage.zip``."""

    format = "coreml_float"
    folder = FLOAT_FOLDER
    filename = f"{FLOAT_FOLDER}.zip"
    session = CoremlFloatSession
    evaluated_session = CoremlFloatEvaluatedSession

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; islands and recurrences are refused, and a program that rounds within."""
        need_reals(program, format_name=self.format)
        need_no_tokens(program, format_name=self.format)
        need_no_recurrence(program, format_name=self.format)
        return _FloatWriter(program).file()


class _FloatWriter(ProgramWriter):
    folder = FLOAT_FOLDER

    def _node(self, node: Node) -> str:
        match node:
            case ProjectText() | Image() | Sound() | Standardize():
                return self._begun(node.output, super()._node(node))
            case ProjectBoxes():
                return super()._real(self._boxes(node, self._integers), node.output)
            case _:
                return super()._node(node)

    def _begun(self, name: str, steps: str) -> str:
        """Return the real tensor of the source's integers, which stay at hand for boxes."""
        self._integers = steps
        if all(isinstance(node, ProjectBoxes) for node in self._program.nodes if name in inputs_of(node)):
            return steps
        return super()._real(steps, name)

    def _real(self, x: str, name: str) -> str:  # noqa: ARG002 - all are real
        return x

    def _bounds(self, quantization: Quantization, *, relu: bool) -> tuple[float, float]:
        return real_bounds(quantization, relu=relu)

    def _weights(self, node: Layer, kernel: npt.NDArray[np.generic]) -> dict[str, str]:
        assert node.weight_scale is not None
        constants = {"weight": self._writer.own_floats(real_products(kernel, node.weight_scale))}
        if node.bias is not None:
            scale = node.weight_scale.astype(np.float64) * self._program.quantization[node.input].scale
            constants["bias"] = self._writer.own_floats(real_products(node.bias, scale))
        return constants

    def _activated(self, sums: str, node: Layer) -> str:
        return self._clipped(sums, node.output, relu=node.relu)

    def _sum_pool(self, node: SumPool) -> str:
        total = self._pooled("reduce_sum", node.input)
        factor = np.asarray(node.multiplier, np.float32)
        mean = self._writer.operator("mul", {"x": total}, self._writer.shape(total), y=factor)
        return self._clipped(mean, node.output, relu=False)

    def _multiply(self, node: Multiply) -> str:
        return self._clipped(self._pairwise("mul", node), node.output, relu=False)

    def _lookup(self, node: Lookup) -> str:
        """Return the curve itself in place of its table."""
        shape = self._shape(node.output)

        def apply(name: str, values: Sequence[str | float]) -> str:
            tensors = [value if isinstance(value, str) else self._writer.floats(value) for value in values]
            inputs = dict(zip("xy", tensors, strict=False))
            match name:
                case "log":
                    return self._writer.operator(name, inputs, shape, epsilon=np.float32(0))
                case "gelu":
                    return self._writer.operator(name, inputs, shape, mode="EXACT")
                case _:
                    return self._writer.operator(_OPERATORS.get(name, name), inputs, shape)

        found = traced(node.curve, self._tensors[node.input], apply)
        assert isinstance(found, str)
        return self._clipped(found, node.output, relu=False)
