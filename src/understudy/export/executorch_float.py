"""ExecuTorch in float32: ``model_float.pte`` computes the program in real numbers, with portable kernels.

Tensors are float32 from the source's integers on and keep their ranges, which is one clamp in place; ``spec/program.md`` 27.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from understudy.export.executorch import ExecutorchExporter, ExecutorchSession
from understudy.export.executorch_flatbuffer import Learned, Tensor, Value
from understudy.export.executorch_program import ProgramWriter, kernel_weight
from understudy.export.executorch_text import spread_nibbles
from understudy.export.refused import need_no_recurrence, need_no_tokens, need_reals
from understudy.program.ops import (
    Image,
    Layer,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Sound,
    Standardize,
    SumPool,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real import real_bounds, real_products
from understudy.program.real_curves import traced

_KERNELS: dict[str, tuple[str, tuple[Value, ...]]] = {
    "add": ("add.out", (1,)),
    "sub": ("sub.out", (1,)),
    "mul": ("mul.out", ()),
    "div": ("div.out", ()),
    "max": ("maximum.out", ()),
    "min": ("minimum.out", ()),
    "abs": ("abs.out", ()),
    "exp": ("exp.out", ()),
    "log": ("log.out", ()),
    "tanh": ("tanh.out", ()),
    "sigmoid": ("sigmoid.out", ()),
    "gelu": ("gelu.out", ("none",)),
}
"""Primitives of curves, and what their kernels are given behind the tensors: how often the second one counts, which gelu."""


class ExecutorchFloatSession(ExecutorchSession):
    """A float ``.pte`` file in ExecuTorch's runtime with its own kernels, batch 1."""

    computes_in = "float32"


class ExecutorchFloatExporter(ExecutorchExporter):
    """Writes and opens ``model_float.pte``."""

    format = "executorch_float"
    filename = "model_float.pte"
    session = ExecutorchFloatSession

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a program with islands or a recurrence is refused, and one that rounds within."""
        need_reals(program, format_name=self.format)
        need_no_tokens(program, format_name=self.format)
        need_no_recurrence(program, format_name=self.format)
        return _FloatWriter(program).file()


class _FloatWriter(ProgramWriter):
    _below_all = -math.inf

    def _spread_numbers(self) -> dict[str, Tensor]:
        """Return the tables of a projection alone: weights are floats in the file."""
        nibbles = self._projection_nibbles()
        return spread_nibbles(self._writer, nibbles) if nibbles else {}

    def _node(self, node: Node) -> Tensor:
        match node:
            case ProjectText() | Image() | Sound() | Standardize():
                return self._begun(node.output, super()._node(node))
            case ProjectBoxes():
                return self._boxes(node, self._steps)
            case _:
                return super()._node(node)

    def _begun(self, name: str, steps: Tensor) -> Tensor:
        """Return the real tensor of the source's integers, which stay at hand for boxes."""
        self._steps = steps
        boxes_alone = all(isinstance(node, ProjectBoxes) for node in self._program.nodes if name in inputs_of(node))
        is_real = boxes_alone or self._program.quantization[name].scale == 1
        return steps if is_real else super()._real(steps, name)

    def _real(self, tensor: Tensor, name: str) -> Tensor:  # noqa: ARG002 - all are
        return tensor

    def _weight(self, node: Layer) -> Tensor:
        assert node.weight_scale is not None
        values = real_products(kernel_weight(node, self._shapes), node.weight_scale)
        return self._writer.constant(values, shared=False)

    def _bias(self, node: Layer) -> Tensor | None:
        if node.bias is None:
            return None
        assert node.weight_scale is not None
        scale = node.weight_scale.astype(float) * self._program.quantization[node.input].scale
        return self._writer.constant(real_products(node.bias, scale), shared=False)

    def _rescaled(self, sums: Tensor, node: Layer | SumPool | Multiply) -> Tensor:
        if isinstance(node, SumPool):
            self._call("mul.Scalar_out", sums, Learned(node.multiplier), sums)
        return sums

    def _limits(self, name: str, *, relu: bool) -> tuple[Value, Value]:
        least, largest = real_bounds(self._program.quantization[name], relu=relu)
        return (0.0 if relu else Learned(least)), Learned(largest)

    def _lookup(self, node: Lookup) -> Tensor:
        found = traced(node.curve, self._tensors[node.input], self._applied)
        assert isinstance(found, Tensor)
        return self._clamped(found, node.output, relu=False)

    def _applied(self, primitive: str, values: Sequence[Tensor | float]) -> Tensor:
        """Append a kernel on tensors and numbers, which are tensors of one value; it has the shape of the largest."""
        tensors = [self._writer.constant([each]) if isinstance(each, float) else each for each in values]
        shape = max((tensor.shape for tensor in tensors), key=len)
        kernel, behind = _KERNELS[primitive]
        return self._call(kernel, *tensors, *behind, self._writer.tensor(shape))
