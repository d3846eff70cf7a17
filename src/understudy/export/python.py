"""The Python format: one file that needs NumPy alone, with weights, labels and every function it calls inside."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from understudy.errors import InputError
from understudy.export import python_runtime
from understudy.export.c_source import c_identifier
from understudy.export.python_session import LAST_LINE, PythonSession
from understudy.export.text_only import require_text
from understudy.program.interpreter import requantize_scale
from understudy.program.ops import Concat, Linear, MaxPool, Node, Program, ProjectText, Softmax, SumPool, Window

_LINE = 120
_LIMITS = {"count": "-128, 127", "ternary": "-1, 1"}

_HEAD = '''\
"""{name}: a text classifier that understudy wrote, {classes} classes. It needs Python 3.9 or newer and NumPy.

    python {filename} "some text"      prints the best label and its probability; without a text it reads lines

    import {module}
    {module}.predict("some text")      [(label, probability), ...], the best first
"""

from __future__ import annotations

import base64
import functools
import re
import string
import sys
from typing import Any

import numpy as np

Array = Any

'''
_TAIL = '''

def predict(text: str | bytes) -> list[tuple[str, float]]:
    """Return (label, probability) pairs, the best first."""
    scores = probabilities(text)
    return [(LABELS[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]


def main() -> None:
    for text in sys.argv[1:] or (line.rstrip("\\r\\n") for line in sys.stdin):
        print("%s\\t%.4f" % predict(text)[0])


if __name__ == "__main__":
'''
_ALWAYS: tuple[Callable[..., object], ...] = (
    python_runtime.unpack,
    python_runtime.mix,
    python_runtime.coefficients,
    python_runtime.byte_codes,
    python_runtime.split,
    python_runtime.digests,
    python_runtime.signs,
    python_runtime.project,
    python_runtime.requantize,
    python_runtime.linear,
)


def _functions(program: Program) -> Iterator[str]:
    """Yield the source of every function that ``program`` calls."""
    windows = (python_runtime.window,) if any(isinstance(node, Window) for node in program.nodes) else ()
    for function in (*_ALWAYS, *windows, python_runtime.softmax):
        yield inspect.getsource(function)
        if function is python_runtime.byte_codes:
            yield "CODES = byte_codes()\n"


def _wrapped(items: Iterable[str]) -> str:
    """Return ``items`` with commas, in lines of at most 120 characters where the items allow it."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > _LINE and line.strip():
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


def _layer(program: Program, node: Linear, name: str) -> str:
    """Return the constant that holds one layer: weights, biases and requantization scales, in base 85."""
    scheme = program.quantization
    assert node.weight_scale is not None
    weight = np.asarray(node.weight, np.int8).ravel()
    if node.bits == 4:
        pairs = np.append(weight, np.zeros(weight.size % 2, np.int8)).astype(np.int16).reshape(-1, 2) & 15
        weight = (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).view(np.int8)
    bias = b"" if node.bias is None else node.bias.astype("<i4").tobytes()
    scale = requantize_scale(scheme[node.input].scale, node.weight_scale, scheme[node.output].scale)
    text = base64.b85encode(weight.tobytes() + bias + scale.astype("<f4").tobytes()).decode()
    lines = "\n".join(text[begin : begin + _LINE] for begin in range(0, len(text), _LINE))
    rows, columns = node.weight.shape
    return f'{name} = unpack("""\n{lines}\n""", {rows}, {columns}, {node.bits})\n'


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


def _expression(program: Program, node: Node, names: dict[str, str]) -> str:
    """Return the expression that computes ``node``; ``names`` has the variables of the tensors before it."""
    scheme = program.quantization
    match node:
        case ProjectText():
            return _projection(node)
        case Linear():
            source, target = scheme[node.input].zero_point, scheme[node.output].zero_point
            low = f", {target}" if node.relu and target > -128 else ""
            return f"linear({names[node.input]}, {names[node.output].upper()}, ({source}, {target}){low})"
        case Window():
            return f"window({names[node.input]}, {node.width}, {scheme[node.input].zero_point})"
        case MaxPool():
            return f"{names[node.input]}.max(0)"
        case SumPool():
            source, target = scheme[node.input].zero_point, scheme[node.output].zero_point
            scale = float(requantize_scale(scheme[node.input].scale, node.multiplier, scheme[node.output].scale).item())
            total = names[node.input] + (f" - {source}" if source >= 0 else f" + {-source}")
            return f"requantize(({total}).sum(0), {scale!r}, {target})"
        case Concat():
            return f"np.concatenate([{', '.join(names[name] for name in node.inputs)}])"
        case Softmax():
            return f"softmax({names[node.input]}, {float(np.float32(scheme[node.input].scale))!r})"
        case _:  # nodes of images, which require_text refuses
            raise TypeError(type(node).__name__)


def _probabilities(program: Program, names: dict[str, str]) -> str:
    lines = [f"    {names[node.output]} = {_expression(program, node, names)}\n" for node in program.nodes[:-1]]
    return (
        "\n\ndef probabilities(text: str | bytes) -> Array:\n"
        '    """Return the probability of each class, float32 [classes], in the order of LABELS."""\n'
        '    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")\n'
        f"{''.join(lines)}    return {_expression(program, program.nodes[-1], names)}\n"
    )


class PythonExporter:
    """Writes and runs ``model.py``."""

    format = "python"
    filename = "model.py"

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the file.

        Raises:
            InputError: a float program, or one that does not read text.
        """
        return {self.filename: "".join(text for _, text in self._parts(program, name, labels)).encode()}

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return rows for each linear, the labels and the code; they add up to the file's length."""
        sizes: dict[str, int] = {}
        for where, text in self._parts(program, name, labels):
            sizes[where] = sizes.get(where, 0) + len(text.encode())
        return list(sizes.items())

    def open(self, folder: Path, *, name: str) -> PythonSession:  # noqa: ARG002 - the file's name is fixed
        """Return a session on the file, which runs in an interpreter of its own.

        Raises:
            BundleError: the file is missing or damaged.
        """
        return PythonSession(folder / self.filename)

    def _parts(self, program: Program, name: str, labels: Sequence[str] | None) -> Iterator[tuple[str, str]]:
        """Yield (row of the byte table, text) in the order of the file."""
        require_text(program, format_name=self.format)
        if not program.quantization:
            raise InputError("the python format holds integer programs: received quantization={}; quantize the program first")
        names = {node.output: f"{c_identifier(node.output)}_{i}" for i, node in enumerate(program.nodes)}
        module = self.filename.removesuffix(".py")
        yield "code", _HEAD.format(name=name, classes=program.classes, filename=self.filename, module=module)
        yield "code", "\n\n".join(_functions(program)) + "\n\n"
        shown = [str(i) for i in range(program.classes)] if labels is None else labels
        yield "labels", f"LABELS = (\n{_wrapped(map(repr, shown))}\n)\n"
        for node in program.linears:
            yield node.output, _layer(program, node, names[node.output].upper())
        yield "code", _probabilities(program, names) + _TAIL + LAST_LINE
