"""ONNX in float32: ``model_float.onnx`` computes the program in real numbers, for GPU delegates and WebGPU.

Tensors are float32 from the source's integers on and keep their ranges, which is one Clip; ``spec/program.md`` 27.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.export.onnx import OnnxExporter, OnnxSession
from understudy.export.onnx_boxes import write_box_projection
from understudy.export.onnx_program import ProgramWriter
from understudy.export.onnx_scan import write_real_scan
from understudy.export.onnx_writer import FLOAT, INT64, Array
from understudy.export.refused import need_reals
from understudy.program.ops import (
    Add,
    Image,
    Layer,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Scan,
    Sound,
    Standardize,
    SumPool,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real import real_bounds, real_products
from understudy.program.real_curves import traced
from understudy.program.tokens import Positions

_OPERATORS = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "gelu": "Gelu",
}
"""Primitives of curves."""


class OnnxFloatSession(OnnxSession):
    """A float ONNX file in onnxruntime on the CPU, batch 1."""

    computes_in = "float32"


class OnnxFloatExporter(OnnxExporter):
    """Writes and opens ``model_float.onnx``."""

    format = "onnx_float"
    filename = "model_float.onnx"
    session = OnnxFloatSession

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a program that rounds within is refused."""
        need_reals(program, format_name=self.format)
        return _FloatWriter(program).file()


class _FloatWriter(ProgramWriter):
    def _node(self, node: Node) -> str:
        match node:
            case ProjectText() | Image() | Sound() | Standardize():
                return self._begun(node.output, super()._node(node))
            case ProjectBoxes():
                zero_point = self._program.quantization[node.input].zero_point + 128
                signs = write_box_projection(self._writer, node.projection, self._integers, zero_point=zero_point)
                return self._begun(node.output, signs)
            case Scan():
                return write_real_scan(self._writer, self._tensors[node.input], columns=self._shapes[node.output][-1])
            case _:
                return super()._node(node)

    def _begun(self, name: str, steps: str) -> str:
        """Return the real tensor of an integer one; the source's integers stay at hand for boxes."""
        if name == self._program.source.output:
            self._integers = steps
            if all(isinstance(node, ProjectBoxes) for node in self._program.nodes if name in inputs_of(node)):
                return steps
        return self._writer.node("DequantizeLinear", [steps, *self._quantization(self._program.quantization[name])])

    def _dequantized(self, name: str, *, rows: bool = False) -> str:
        return self._rows(name) if rows else self._tensors[name]

    def _quantized(self, x: str, name: str) -> str:
        return self._within(x, name, relu=False)

    def _activated(self, real: str, node: Layer | Add) -> str:
        return self._within(real, node.output, relu=node.relu)

    def _within(self, x: str, name: str, *, relu: bool) -> str:
        bounds = real_bounds(self._program.quantization[name], relu=relu)
        return self._writer.node("Clip", [x, *(self._writer.constant(bound, FLOAT) for bound in bounds)])

    def _operands(self, node: Layer, source: str, kernel: Array) -> list[str]:
        assert node.weight_scale is not None
        inputs = [self._dequantized(source), self._stored(real_products(kernel, node.weight_scale))]
        if node.bias is not None:
            scale = node.weight_scale.astype(np.float64) * self._program.quantization[node.input].scale
            inputs.append(self._stored(real_products(node.bias, scale)))
        return inputs

    def _stored(self, values: Array) -> str:
        return self._writer.constant(values, FLOAT, shared=False)

    def _zero(self, name: str) -> str:  # noqa: ARG002 - the same for all
        return self._writer.constant(0, FLOAT)

    def _sum_pool(self, node: SumPool) -> str:
        writer = self._writer
        total = writer.node("ReduceSum", [self._rows(node.input), writer.constant([2], INT64)])
        return self._quantized(writer.node("Mul", [total, writer.constant(node.multiplier, FLOAT)]), node.output)

    def _lookup(self, node: Lookup) -> str:
        def apply(name: str, values: Sequence[str | float]) -> str:
            inputs = [self._writer.constant(each, FLOAT) if isinstance(each, float) else each for each in values]
            return self._writer.node(_OPERATORS[name], inputs)

        found = traced(node.curve, self._tensors[node.input], apply)
        assert isinstance(found, str)
        return self._quantized(found, node.output)

    def _multiply(self, node: Multiply) -> str:
        return self._quantized(self._writer.node("Mul", list(self._factors(node))), node.output)

    def _positions(self, node: Positions) -> str:
        height, width, channels = self._shapes[node.output]
        table = real_products(node.table.T, self._program.quantization[node.input].scale)
        inputs = [self._behind_zeros(node), self._stored(table.reshape(1, channels, height, width))]
        return self._quantized(self._writer.node("Add", inputs), node.output)
