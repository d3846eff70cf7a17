"""The Python format: one file that needs NumPy alone, with weights, labels and every function it calls inside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from understudy.export import python_runtime
from understudy.export.box_graph import CONSTANTS
from understudy.export.c_writer import c_identifier
from understudy.export.python_file import HEAD, PREDICT, folded, input_of, wrapped
from understudy.export.python_session import LAST_LINE, PythonSession
from understudy.export.refused import need_integers
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
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions
from understudy.projections.log_mel import LOG_MEL

_LIMITS = {"count": "-128, 127", "ternary": "-1, 1"}
Function = Callable[..., object]
_LAYER: tuple[Function, ...] = (python_runtime.unpack, python_runtime.requantize)
_CALLS: dict[type[Node], tuple[Function, ...]] = {
    Linear: (*_LAYER, python_runtime.linear),
    Conv: (*_LAYER, python_runtime.linear, python_runtime.places),
    DepthwiseConv: (*_LAYER, python_runtime.depthwise, python_runtime.places),
    ProjectBoxes: (python_runtime.mix, python_runtime.boxes),
    Window: (python_runtime.window,),
    LocalMaxPool: (python_runtime.places,),
    Scan: (python_runtime.scan,),
    SumPool: (python_runtime.requantize,),
    Lookup: (python_runtime.table,),
    Multiply: (python_runtime.requantize,),
    Softmax: (python_runtime.softmax,),
}
"""The functions that a node calls, beside those that read an example."""


def _projection(node: ProjectText) -> str:
    """Return the expression of the features of ``data``."""
    projection = node.projection
    groups = ", ".join(f'("{group.kind}", {group.features})' for group in projection.groups)
    words, seed = projection.max_words, projection.seed & 0xFFFFFFFF
    sums = f"project(data[:{projection.max_bytes}], [{groups}], {list(projection.orders)}, {words}, {seed})"
    if projection.pooling == "utterance":
        sums += ".sum(0)"
    if projection.values == "binary":
        return f"np.where({sums} >= 0, 1, -1)"
    return f"np.clip({sums}, {_LIMITS[projection.values]})"


class PythonWriter:
    """Writes a program as parts of a file; ``python_float.py`` has one whose tensors hold real numbers.

    The length of an expression depends on shapes alone, so numbers that a training decides have one width.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._scheme, self._shapes = program, program.quantization, program.shapes()
        self._names = {node.output: _variable(node.output, i) for i, node in enumerate(program.nodes)}

    def parts(self, *, name: str, labels: Sequence[str] | None, filename: str) -> Iterator[tuple[str, str]]:
        """Yield (row of the byte table, text) in the order of the file."""
        program, reads = self._program, input_of(self._program)
        head = {"name": name, "classes": program.classes, "filename": filename, "module": filename.removesuffix(".py")}
        yield "code", HEAD.format(**head, what=reads.what, usage=reads.usage, example=reads.example, imports=reads.imports)
        yield "code", "\n\n".join(self._functions()) + "\n\n"
        shown = [str(i) for i in range(program.classes)] if labels is None else labels
        yield "labels", f"LABELS = (\n{wrapped(map(repr, shown))}\n)\n"
        if not isinstance(program.source, ProjectText):
            yield "code", f"SHAPE = {program.source.input_shape}\n"
        if isinstance(program.source, Sound):
            yield LOG_MEL, f"POSITIONS = [\n{wrapped(map(str, program.source.log_mel.positions.tolist()))}\n]\n"
        if isinstance(program.source, Standardize):
            for constant, values in (("OFFSET", program.source.offset), ("MULTIPLIER", program.source.multiplier)):
                yield "means and deviations", f"{constant} = numbers({folded(values.astype('<f4').tobytes())})\n"
        for node in program.nodes:
            if isinstance(node, ProjectBoxes):
                yield CONSTANTS, f"{self._constant(node)} = {folded(np.asarray(node.projection.rows, '<u2').tobytes())}\n"
        yield from self._tables()
        for layer in program.layers:
            yield layer.output, f"{self._constant(layer)} = {self._unpacked(layer)}\n"
        yield "code", self._probabilities()
        yield "code", PREDICT.format(argument=reads.argument, kind=reads.kind) + reads.main + LAST_LINE

    def _functions(self) -> Iterator[str]:
        """Yield the source of every function that the program calls, in the order of the modules that have them."""
        called = {function for node in self._program.nodes for function in self._calls(node)}
        for function in sorted(
            {*input_of(self._program).functions, *called},
            key=lambda function: (function.__module__, inspect.getsourcelines(function)[1]),
        ):
            yield inspect.getsource(function)
            if function is python_runtime.byte_codes:
                yield "CODES = byte_codes()\n"

    def _calls(self, node: Node) -> tuple[Function, ...]:
        return _CALLS.get(type(node), ())

    def _constant(self, node: Layer | Lookup | ProjectBoxes) -> str:
        """Return the name of what is stored for ``node``."""
        return self._names[node.output].upper()

    def _tables(self) -> Iterator[tuple[str, str]]:
        for node in self._program.nodes:
            if isinstance(node, Lookup):
                assert node.table is not None
                yield node.output, f"{self._constant(node)} = table({folded(node.table.tobytes())})\n"

    def _unpacked(self, node: Layer) -> str:
        """Return the expression of one layer's weights, biases and requantization scales."""
        scheme = self._scheme
        assert node.weight_scale is not None
        weight = np.asarray(node.weight, np.int8).ravel()
        if node.bits == 4:
            pairs = np.append(weight, np.zeros(weight.size % 2, np.int8)).astype(np.int16).reshape(-1, 2) & 15
            weight = (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).view(np.int8)
        bias = b"" if node.bias is None else node.bias.astype("<i4").tobytes()
        scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
        content = folded(weight.tobytes() + bias + scale.astype("<f4").tobytes())
        return f"unpack({content}, {len(node.weight)}, {node.weight[0].size}, {node.bits})"

    def _probabilities(self) -> str:
        reads, nodes = input_of(self._program), self._program.nodes
        return (
            f"\n\ndef probabilities({reads.argument}: {reads.kind}) -> Array:\n"
            '    """Return the probability of each class, float32 [classes], in the order of LABELS."""\n'
            f"{reads.read}{''.join(map(self._assigned, nodes[:-1]))}    return {self._expression(nodes[-1])}\n"
        )

    def _assigned(self, node: Node) -> str:
        """Return the line that computes ``node``."""
        return f"    {self._names[node.output]} = {self._expression(node)}\n"

    def _expression(self, node: Node) -> str:
        """Return the expression that computes ``node`` from the variables of the tensors before it."""
        names = self._names
        match node:
            case ProjectText():
                return _projection(node)
            case Image():
                return "data - 128"
            case Sound():
                return f"log_mel(data, {node.log_mel.frame}, POSITIONS)"
            case Standardize():
                return "standardize(values, SHAPE, OFFSET, MULTIPLIER)"
            case ProjectVector():
                raise TypeError("an integer program has a Linear in place of a ProjectVector")
            case ProjectBoxes():
                zero, seed = self._scheme[node.input].zero_point, node.projection.seed & 0xFFFFFFFF
                return f"boxes({self._integers(node.input)}, {zero:4d}, {self._constant(node)}, {seed:10d})"
            case Linear():
                return f"linear({names[node.input]}, {self._constant(node)}, {self._ends(node)})"
            case Conv() | DepthwiseConv():
                kernel, outside = node.weight.shape[1:3], self._zero(node.input)
                seen = f"places({names[node.input]}, {kernel}, {node.stride}, {node.padding}, {outside})"
                function = "linear" if isinstance(node, Conv) else "depthwise"
                return f"{function}({seen}, {self._constant(node)}, {self._ends(node)})"
            case Window():
                return f"window({names[node.input]}, {node.width}, {self._zero(node.input)})"
            case MaxPool():
                return f"{names[node.input]}.max({self._axes(node)})"
            case SumPool():
                return self._sum_pool(node)
            case LocalMaxPool():
                rows, columns, channels = self._shapes[node.output]
                least = self._least(node.input)
                seen = f"places({names[node.input]}, {node.kernel}, {node.stride}, {node.padding}, {least})"
                return f"{seen}.reshape({rows}, {columns}, -1, {channels}).max(2)"
            case Add():
                return self._sum(node)
            case Lookup():
                return self._lookup(node)
            case Multiply():
                return self._product(node)
            case Scan():
                return f"scan({names[node.input]})"
            case Flatten():
                return f"{names[node.input]}.reshape(-1)"
            case Concat():
                return f"np.concatenate([{', '.join(names[name] for name in node.inputs)}], -1)"
            case Positions() | Place() | LayerNorm() | Attention():
                raise TypeError(f"no format without islands holds it: {node.output}")
            case Softmax():
                return f"softmax({names[node.input]}, {self._unit(node.input)})"

    def _integers(self, name: str) -> str:
        """Return the variable with the integers of a tensor."""
        return self._names[name]

    def _axes(self, node: MaxPool | SumPool) -> str:
        """Return the axes of the rows or places of what ``node`` reads."""
        return "(0, 1)" if len(self._shapes[node.input]) == 3 else "0"

    def _zero(self, name: str) -> str:
        """Return what stands for zero in a tensor."""
        return f"{self._scheme[name].zero_point:4d}"

    def _least(self, name: str) -> str:  # noqa: ARG002 - the same for all
        """Return the least value of a tensor."""
        return "-128"

    def _unit(self, name: str) -> str:
        """Return the real value of 1 in a tensor."""
        return f"{self._scheme[name].scale:.8e}"

    def _ends(self, node: Layer) -> str:
        """Return the last arguments of a layer's function: zero points of input and output, and the least value."""
        source, target = self._scheme[node.input].zero_point, self._scheme[node.output].zero_point
        return f"({source:4d}, {target:4d}), {target if node.relu else -128:4d}"

    def _sum_pool(self, node: SumPool) -> str:
        source, target = self._scheme[node.input], self._scheme[node.output]
        scale = float(requantize_scale(source.scale, node.multiplier, target.scale).item())
        total = f"({self._names[node.input]} - {source.zero_point:4d}).sum({self._axes(node)})"
        return f"requantize({total}, {scale:.8e}, {target.zero_point:4d}, -128)"

    def _sum(self, node: Add) -> str:
        first, second = node.inputs
        target = self._scheme[node.output].zero_point
        moved = target - self._scheme[first].zero_point - self._scheme[second].zero_point
        low = target if node.relu else -128
        return f"np.clip({self._names[first]} + {self._names[second]} + {moved:4d}, {low:4d}, 127)"

    def _lookup(self, node: Lookup) -> str:
        return f"{self._constant(node)}[{self._names[node.input]}.astype(int) + 128]"

    def _product(self, node: Multiply) -> str:
        (one, other), made = (self._scheme[name] for name in node.inputs), self._scheme[node.output]
        scale = float(requantize_scale(one.scale, other.scale, made.scale).item())
        first, second = (f"({self._names[name]} - {self._scheme[name].zero_point:4d})" for name in node.inputs)
        return f"requantize({first} * {second}, {scale:.8e}, {made.zero_point:4d}, -128)"


class PythonExporter:
    """Writes and runs ``model.py``."""

    format = "python"
    filename = "model.py"
    session = PythonSession

    def writer(self, program: Program) -> PythonWriter:
        """Return what writes ``program``; a float program is refused, or one with float islands."""
        need_integers(program, format_name=self.format)
        return PythonWriter(program)

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the file.

        Raises:
            InputError: a program that the format does not hold, see ``writer``.
        """
        parts = self.writer(program).parts(name=name, labels=labels, filename=self.filename)
        return {self.filename: "".join(text for _, text in parts).encode()}

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return rows for each layer, the labels and the code; they add up to the file's length."""
        sizes: dict[str, int] = {}
        for where, text in self.writer(program).parts(name=name, labels=labels, filename=self.filename):
            sizes[where] = sizes.get(where, 0) + len(text.encode())
        return list(sizes.items())

    def open(self, folder: Path, *, name: str) -> PythonSession:  # noqa: ARG002 - the file's name is fixed
        """Return a session on the file, which runs in an interpreter of its own.

        Raises:
            BundleError: the file is missing or damaged.
        """
        return self.session(folder / self.filename)


def _variable(tensor: str, number: int) -> str:
    """Return the name of a variable for the ``number``-th ``tensor``; a layer in a sequence has a number for a name."""
    name = f"{c_identifier(tensor)}_{number}"
    return name if name.isidentifier() else f"tensor_{name}"
