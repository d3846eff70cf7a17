"""LiteRT in float32: ``model_float.tflite`` computes the program in real numbers, for GPU delegates.

Tensors are float32 from the source's integers on. A range is MINIMUM behind a fused RELU, and MAXIMUM before it elsewhere;
``spec/program.md`` 27.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.export.litert import LitertExporter, LitertSession
from understudy.export.litert_boxes import write_box_projection
from understudy.export.litert_flatbuffer import FLOAT32, INT8, INT32, Options
from understudy.export.litert_program import ProgramWriter
from understudy.export.litert_tensors import Int8Array
from understudy.export.refused import need_no_recurrence, need_reals
from understudy.program.ops import Image, Program, ProjectBoxes, Source, SumPool, Window
from understudy.program.pointwise import Lookup
from understudy.program.real import real_bounds, real_products
from understudy.program.real_curves import traced

_OPERATORS: dict[str, tuple[str, Options | None]] = {
    "add": ("ADD", ("AddOptions", {})),
    "sub": ("SUB", ("SubOptions", {})),
    "mul": ("MUL", ("MulOptions", {})),
    "div": ("DIV", ("DivOptions", {})),
    "max": ("MAXIMUM", ("MaximumMinimumOptions", {})),
    "min": ("MINIMUM", ("MaximumMinimumOptions", {})),
    "abs": ("ABS", None),
    "exp": ("EXP", ("ExpOptions", {})),
    "log": ("LOG", None),
    "tanh": ("TANH", None),
    "sigmoid": ("LOGISTIC", None),
    "gelu": ("GELU", ("GeluOptions", {})),
}
"""Primitives of curves."""


class LitertFloatSession(LitertSession):
    """A float ``.tflite`` file in the LiteRT interpreter with its default delegate, batch 1."""

    computes_in = "float32"


class LitertFloatExporter(LitertExporter):
    """Writes and opens ``model_float.tflite``."""

    format = "litert_float"
    filename = "model_float.tflite"
    session = LitertFloatSession

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a program with a recurrence is refused, and one that rounds within."""
        need_no_recurrence(program, format_name=self.format)
        need_reals(program, format_name=self.format)
        return _FloatWriter(program).file()


class _FloatWriter(ProgramWriter):
    def _tensor(self, name: str, shape: tuple[int, ...]) -> int:  # noqa: ARG002 - one type for all
        return self._writer.tensor(shape, FLOAT32)

    def _bounded(self, tensor: int, name: str, *, relu: bool = False) -> int:
        least, largest = real_bounds(self._program.quantization[name], relu=relu)
        return self._applied("min", [tensor if relu else self._applied("max", [tensor, least]), largest])

    def _applied(self, primitive: str, values: Sequence[int | float]) -> int:
        """Append an operator on tensors and numbers; it has the shape of the largest."""
        tensors = [self._number(each) if isinstance(each, float) else each for each in values]
        shape = max((self._writer.shape(tensor) for tensor in tensors), key=len)
        code, options = _OPERATORS[primitive]
        return self._writer.operator(code, tensors, self._writer.tensor(shape, FLOAT32), options)

    def _number(self, value: float) -> int:
        return self._writer.tensor((), FLOAT32, data=np.asarray(value, np.float32))

    def _weight(self, values: Int8Array, scale: npt.ArrayLike, *, axis: int = 0, kind: int = INT8) -> int:  # noqa: ARG002
        return self._writer.tensor(values.shape, FLOAT32, data=real_products(values, scale, axis=axis))

    def _sums(self, values: npt.NDArray[np.int32], scale: npt.ArrayLike) -> int:
        return self._writer.tensor(values.shape, FLOAT32, data=real_products(values, scale))

    def _constant(self, name: str, value: int) -> int:
        quantization = self._program.quantization[name]
        return self._number((value - quantization.zero_point) * quantization.scale)

    def _begun(self, node: Source | ProjectBoxes, steps: int) -> int:
        if node is self._program.source:
            self._steps = steps
        return super()._real(steps)

    def _image(self, node: Image) -> int:
        """Return the pixels in float32: their uint8 has the image's scale already."""
        pixels = self._tensors[node.input]
        return super()._real(pixels) if self._is_read_as_int8(node) else pixels

    def _boxes(self, node: ProjectBoxes) -> int:
        if isinstance(self._program.source, Image):
            return super()._boxes(node)
        zero_point = self._program.quantization[node.input].zero_point
        return write_box_projection(self._writer, node.projection, self._steps, zero_point=zero_point)

    def _real(self, tensor: int) -> int:
        return tensor

    def _rounded(self, name: str, real: int) -> int:
        return self._bounded(real, name)

    def _is_fused(self, window: Window) -> bool:  # noqa: ARG002 - weights have one width
        return True

    def _is_transposed(self, name: str) -> bool:  # noqa: ARG002 - sums are operators on rows
        return False

    def _sum_pool(self, node: SumPool) -> int:
        rows = self._rows(node.input)
        *rest, _, columns = self._writer.shape(rows)
        axis = self._writer.tensor((), INT32, data=np.asarray(len(rest), np.int32))
        target = self._writer.tensor((*rest, 1, columns), FLOAT32)
        total = self._writer.operator("SUM", [rows, axis], target, ("ReducerOptions", {"keepDims": True}))
        return self._bounded(self._applied("mul", [total, node.multiplier]), node.output)

    def _lookup(self, node: Lookup) -> int:
        found = traced(node.curve, self._tensors[node.input], self._applied)
        assert isinstance(found, int)
        return self._bounded(found, node.output)
