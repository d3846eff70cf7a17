"""The Python format in float: ``model_float.py`` computes the program in real numbers, with NumPy alone.

Tensors are float32 from the source's integers on and keep their ranges, which is one clip; ``spec/program.md`` 27. Weights
stand in the file as their integers, a byte each whatever their bits, beside a float32 scale for each channel: a layer is
``x @ weight * scale + bias``, which is the product with the real weights at a quarter of their bytes. Biases are float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from understudy.export import python_float_runtime, python_runtime
from understudy.export.python import Function, PythonExporter, PythonWriter
from understudy.export.python_file import folded
from understudy.export.python_session import PythonSession
from understudy.export.refused import need_reals_alone
from understudy.program.ops import (
    Add,
    Conv,
    DepthwiseConv,
    Image,
    Layer,
    Linear,
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
from understudy.program.real_curves import VALUE, traced

_CALLS: dict[type[Node], tuple[Function, ...]] = {
    Linear: (python_float_runtime.unpack, python_float_runtime.linear),
    Conv: (python_float_runtime.unpack, python_float_runtime.linear, python_runtime.places),
    DepthwiseConv: (python_float_runtime.unpack, python_float_runtime.depthwise, python_runtime.places),
    Scan: (python_float_runtime.scan,),
    SumPool: (),
    Multiply: (),
}
"""Functions in place of those of integers."""
_EXPRESSIONS = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "max": "np.maximum({}, {})",
    "min": "np.minimum({}, {})",
    "abs": "np.abs({})",
    "exp": "np.exp({})",
    "log": "np.log({})",
    "tanh": "np.tanh({})",
    "sigmoid": "0.5 + 0.5 * np.tanh(0.5 * {})",
    "gelu": "gelu({})",
}
"""Primitives of curves, of variables and numbers."""
_STEPS = "steps"
"""The variable that keeps the source's integers, also for boxes; those of tensors end with a number."""


class PythonFloatSession(PythonSession):
    """A ``model_float.py``; every call runs it anew."""

    computes_in = "float32"


class PythonFloatExporter(PythonExporter):
    """Writes and runs ``model_float.py``."""

    format = "python_float"
    filename = "model_float.py"
    session = PythonFloatSession

    def writer(self, program: Program) -> PythonWriter:
        """Return what writes ``program``; one with islands is refused, and one that rounds within."""
        need_reals_alone(program, format_name=self.format)
        return _FloatWriter(program)


class _FloatWriter(PythonWriter):
    def __init__(self, program: Program) -> None:
        super().__init__(program)
        first = program.source.output
        readers = [isinstance(node, ProjectBoxes) for node in program.nodes if first in inputs_of(node)]
        self._boxes_alone = all(readers)
        curves = dict.fromkeys(node.curve for node in program.nodes if isinstance(node, Lookup))
        self._curves = {curve: f"curve_{i}" for i, curve in enumerate(curves)}

    def _functions(self) -> Iterator[str]:
        yield from super()._functions()
        for curve, name in self._curves.items():
            yield _curve_function(curve, name)

    def _calls(self, node: Node) -> tuple[Function, ...]:
        match node:
            case ProjectText() | Image() | Sound() | Standardize():
                return () if self._boxes_alone else (python_float_runtime.real,)
            case Lookup():
                return (python_float_runtime.gelu,) if "gelu" in node.curve.split() else ()
            case _:
                return _CALLS.get(type(node), super()._calls(node))

    def _tables(self) -> Iterator[tuple[str, str]]:
        yield from ()

    def _unpacked(self, node: Layer) -> str:
        assert node.weight_scale is not None
        bias = b""
        if node.bias is not None:
            scale = node.weight_scale.astype(np.float64) * self._scheme[node.input].scale
            bias = real_products(node.bias, scale).astype("<f4").tobytes()
        content = np.asarray(node.weight, np.int8).tobytes() + bias + node.weight_scale.astype("<f4").tobytes()
        return f"unpack({folded(content)}, {len(node.weight)}, {node.weight[0].size})"

    def _assigned(self, node: Node) -> str:
        if node is not self._program.source:
            return super()._assigned(node)
        steps = f"    {_STEPS} = {super()._expression(node)}\n"
        return steps if self._boxes_alone else steps + super()._assigned(node)

    def _expression(self, node: Node) -> str:
        match node:
            case ProjectText() | Image() | Sound() | Standardize():
                made = self._scheme[node.output]
                return f"real({_STEPS}, {made.zero_point:4d}, {_number(made.scale)})"
            case ProjectBoxes():
                return f"{super()._expression(node)}.astype(np.float32)"
            case _:
                return super()._expression(node)

    def _integers(self, name: str) -> str:  # noqa: ARG002 - boxes read the source alone
        return _STEPS

    def _zero(self, name: str) -> str:  # noqa: ARG002 - the same for all
        return "0"

    def _least(self, name: str) -> str:
        return _number(real_bounds(self._scheme[name], relu=False)[0])

    def _unit(self, name: str) -> str:  # noqa: ARG002 - the same for all
        return "1"

    def _ends(self, node: Layer) -> str:
        return self._bounds(node.output, relu=node.relu)

    def _sum_pool(self, node: SumPool) -> str:
        total = f"{self._names[node.input]}.sum({self._axes(node)}) * {_number(node.multiplier)}"
        return self._clipped(total, node.output)

    def _sum(self, node: Add) -> str:
        return self._clipped(" + ".join(self._names[name] for name in node.inputs), node.output, relu=node.relu)

    def _lookup(self, node: Lookup) -> str:
        return self._clipped(f"{self._curves[node.curve]}({self._names[node.input]})", node.output)

    def _product(self, node: Multiply) -> str:
        return self._clipped(" * ".join(self._names[name] for name in node.inputs), node.output)

    def _clipped(self, real: str, name: str, *, relu: bool = False) -> str:
        return f"np.clip({real}, {self._bounds(name, relu=relu)})"

    def _bounds(self, name: str, *, relu: bool) -> str:
        return ", ".join(map(_number, real_bounds(self._scheme[name], relu=relu)))


def _number(value: float) -> str:
    """Return a number of one width, whose digits float32 has."""
    return f"{value:15.8e}"


def _curve_function(curve: str, name: str) -> str:
    """Return the function of ``curve``: a line for each primitive, which is written once where it is used again."""
    lines: dict[str, str] = {}

    def apply(primitive: str, values: Sequence[str | float]) -> str:
        expression = _EXPRESSIONS[primitive].format(*values)
        return lines.setdefault(expression, f"{VALUE}{len(lines) + 1}")

    found = traced(curve, VALUE, apply)
    body = "".join(f"        {variable} = {expression}\n" for expression, variable in lines.items())
    return (
        f'def {name}(x: Array) -> Array:\n    """Return the curve {curve} (program 19)."""\n'
        f'    with np.errstate(over="ignore"):\n{body}        return {found}\n'
    )
