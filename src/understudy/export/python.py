"""The Python format: one file that needs NumPy alone, with weights, labels and every function it calls inside."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.export import python_runtime
from understudy.export.box_graph import CONSTANTS
from understudy.export.c_writer import c_identifier
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
    Source,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions
from understudy.projections.log_mel import LOG_MEL

_LINE = 120
_LIMITS = {"count": "-128, 127", "ternary": "-1, 1"}

_HEAD = '''\
"""{name}: {what} classifier that understudy wrote, {classes} classes. It needs Python 3.9 or newer and NumPy.

    python {filename} {usage}

    import {module}
    {module}.predict({example}      [(label, probability), ...], the best first
"""

from __future__ import annotations

{imports}
from typing import Any

import numpy as np

Array = Any

'''
_PREDICT = '''

def predict({argument}: {kind}) -> list[tuple[str, float]]:
    """Return (label, probability) pairs, the best first."""
    scores = probabilities({argument})
    return [(LABELS[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]

'''


@dataclass(frozen=True)
class _Input:
    """What differs between kinds of input: pieces of the file, and the functions that read an example."""

    what: str
    usage: str
    example: str
    imports: str
    argument: str
    kind: str
    read: str
    main: str
    functions: tuple[Callable[..., object], ...]


def _main_for_arrays(argument: str) -> str:
    return f"""
def main() -> None:
    for name in sys.argv[1:]:
        for {argument} in np.load(name).reshape(-1, *SHAPE):
            print("%s\\t%.4f" % predict({argument})[0])


if __name__ == "__main__":
"""


_TEXT = _Input(
    what="a text",
    usage='"some text"      prints the best label and its probability; without a text it reads lines',
    example='"some text")',
    imports="import base64\nimport functools\nimport re\nimport string\nimport sys",
    argument="text",
    kind="str | bytes",
    read='    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")\n',
    main="""
def main() -> None:
    for text in sys.argv[1:] or (line.rstrip("\\r\\n") for line in sys.stdin):
        print("%s\\t%.4f" % predict(text)[0])


if __name__ == "__main__":
""",
    functions=(
        python_runtime.mix,
        python_runtime.coefficients,
        python_runtime.byte_codes,
        python_runtime.split,
        python_runtime.digests,
        python_runtime.signs,
        python_runtime.project,
    ),
)
_IMAGE = _Input(
    what="an image",
    usage="images.npy       prints the best label and its probability of each image in NumPy's files",
    example="pixels)     ",
    imports="import base64\nimport sys",
    argument="pixels",
    kind="Array",
    read="    data = image(pixels, SHAPE)\n",
    main=_main_for_arrays("pixels"),
    functions=(python_runtime.image,),
)
_VECTOR = _Input(
    what="a vector",
    usage="values.npy       prints the best label and its probability of each example in NumPy's files",
    example="values)     ",
    imports="import base64\nimport sys",
    argument="values",
    kind="Array",
    read="",
    main=_main_for_arrays("values"),
    functions=(python_runtime.numbers, python_runtime.standardize),
)
_SOUND = _Input(
    what="a sound",
    usage="sounds.npy       prints the best label and its probability of each sound in NumPy's files",
    example="samples)    ",
    imports="import base64\nimport sys",
    argument="samples",
    kind="Array",
    read="    data = sound(samples, *SHAPE)\n",
    main=_main_for_arrays("samples"),
    functions=(python_runtime.sound, python_runtime.log_mel),
)
_INPUTS: dict[type[Source], _Input] = {ProjectText: _TEXT, Image: _IMAGE, Sound: _SOUND, Standardize: _VECTOR}
_LAYER: tuple[Callable[..., object], ...] = (python_runtime.unpack, python_runtime.requantize)
_CALLS: dict[type[Node], tuple[Callable[..., object], ...]] = {
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


def _input(program: Program) -> _Input:
    return _INPUTS[type(program.source)]


def _functions(program: Program) -> Iterator[str]:
    """Yield the source of every function that ``program`` calls, in the order of ``python_runtime``."""
    called = {*_input(program).functions, *(function for node in program.nodes for function in _CALLS.get(type(node), ()))}
    for function in sorted(called, key=lambda function: inspect.getsourcelines(function)[1]):
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


def _layer(program: Program, node: Layer, name: str) -> str:
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
    lines = _folded(text)
    rows, columns = len(node.weight), node.weight[0].size
    return f'{name} = unpack("""\n{lines}\n""", {rows}, {columns}, {node.bits})\n'


def _numbers(name: str, values: npt.NDArray[np.float32]) -> str:
    text = base64.b85encode(values.astype("<f4").tobytes()).decode()
    return f'{name} = numbers("""\n{_folded(text)}\n""")\n'


def _rows(node: ProjectBoxes, name: str) -> str:
    """Return the constant that holds the numbers of a projection's rows."""
    text = base64.b85encode(np.asarray(node.projection.rows, "<u2").tobytes()).decode()
    return f'{name} = """\n{_folded(text)}\n"""\n'


def _table(node: Lookup, name: str) -> str:
    assert node.table is not None
    return f'{name} = table("""\n{_folded(base64.b85encode(node.table.tobytes()).decode())}\n""")\n'


def _folded(text: str) -> str:
    return "\n".join(text[begin : begin + _LINE] for begin in range(0, len(text), _LINE))


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


def _requantized(program: Program, node: Layer) -> str:
    """Return the last arguments of a layer's function: zero points of input and output, and the least value."""
    source, target = program.quantization[node.input].zero_point, program.quantization[node.output].zero_point
    return f"({source:4d}, {target:4d}), {target if node.relu else -128:4d}"


def _expression(program: Program, node: Node, names: dict[str, str]) -> str:
    """Return the expression that computes ``node``; ``names`` has the variables of the tensors before it.

    Its length depends on shapes alone, so numbers that a training decides have one width.
    """
    scheme = program.quantization
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
            seed = f"{node.projection.seed & 0xFFFFFFFF:10d}"
            return f"boxes({names[node.input]}, {scheme[node.input].zero_point:4d}, {names[node.output].upper()}, {seed})"
        case Linear():
            return f"linear({names[node.input]}, {names[node.output].upper()}, {_requantized(program, node)})"
        case Conv() | DepthwiseConv():
            kernel = node.weight.shape[1:3]
            seen = f"places({names[node.input]}, {kernel}, {node.stride}, {node.padding}, {scheme[node.input].zero_point:4d})"
            function = "linear" if isinstance(node, Conv) else "depthwise"
            return f"{function}({seen}, {names[node.output].upper()}, {_requantized(program, node)})"
        case Window():
            return f"window({names[node.input]}, {node.width}, {scheme[node.input].zero_point:4d})"
        case MaxPool():
            return f"{names[node.input]}.max({_axes(program, node)})"
        case SumPool():
            source, target = scheme[node.input].zero_point, scheme[node.output].zero_point
            scale = float(requantize_scale(scheme[node.input].scale, node.multiplier, scheme[node.output].scale).item())
            total = f"({names[node.input]} - {source:4d}).sum({_axes(program, node)})"
            return f"requantize({total}, {scale:.8e}, {target:4d}, -128)"
        case LocalMaxPool():
            rows, columns, channels = program.shapes()[node.output]
            seen = f"places({names[node.input]}, {node.kernel}, {node.stride}, {node.padding}, -128)"
            return f"{seen}.reshape({rows}, {columns}, -1, {channels}).max(2)"
        case Add():
            first, second = node.inputs
            target = scheme[node.output].zero_point
            moved = target - scheme[first].zero_point - scheme[second].zero_point
            low = target if node.relu else -128
            return f"np.clip({names[first]} + {names[second]} + {moved:4d}, {low:4d}, 127)"
        case Lookup():
            return f"{names[node.output].upper()}[{names[node.input]}.astype(int) + 128]"
        case Multiply():
            (one, other), made = (scheme[name] for name in node.inputs), scheme[node.output]
            scale = float(requantize_scale(one.scale, other.scale, made.scale).item())
            first, second = (f"({names[name]} - {scheme[name].zero_point:4d})" for name in node.inputs)
            return f"requantize({first} * {second}, {scale:.8e}, {made.zero_point:4d}, -128)"
        case Scan():
            return f"scan({names[node.input]})"
        case Flatten():
            return f"{names[node.input]}.reshape(-1)"
        case Concat():
            return f"np.concatenate([{', '.join(names[name] for name in node.inputs)}], -1)"
        case Positions() | Place() | LayerNorm() | Attention():
            raise TypeError(f"no integers: {node.output}")
        case Softmax():
            return f"softmax({names[node.input]}, {scheme[node.input].scale:.8e})"


def _axes(program: Program, node: MaxPool | SumPool) -> str:
    """Return the axes of the rows or places of what ``node`` reads."""
    return "(0, 1)" if len(program.shapes()[node.input]) == 3 else "0"


def _probabilities(program: Program, names: dict[str, str]) -> str:
    lines = [f"    {names[node.output]} = {_expression(program, node, names)}\n" for node in program.nodes[:-1]]
    reads = _input(program)
    return (
        f"\n\ndef probabilities({reads.argument}: {reads.kind}) -> Array:\n"
        '    """Return the probability of each class, float32 [classes], in the order of LABELS."""\n'
        f"{reads.read}{''.join(lines)}    return {_expression(program, program.nodes[-1], names)}\n"
    )


class PythonExporter:
    """Writes and runs ``model.py``."""

    format = "python"
    filename = "model.py"

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the file.

        Raises:
            InputError: a float program, or one with float islands.
        """
        return {self.filename: "".join(text for _, text in self._parts(program, name, labels)).encode()}

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return rows for each layer, the labels and the code; they add up to the file's length."""
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
        need_integers(program, format_name=self.format)
        names = {node.output: f"{c_identifier(node.output)}_{i}" for i, node in enumerate(program.nodes)}
        module = self.filename.removesuffix(".py")
        reads, head = _input(program), {"name": name, "classes": program.classes, "filename": self.filename, "module": module}
        yield "code", _HEAD.format(**head, what=reads.what, usage=reads.usage, example=reads.example, imports=reads.imports)
        yield "code", "\n\n".join(_functions(program)) + "\n\n"
        shown = [str(i) for i in range(program.classes)] if labels is None else labels
        yield "labels", f"LABELS = (\n{_wrapped(map(repr, shown))}\n)\n"
        if not isinstance(program.source, ProjectText):
            yield "code", f"SHAPE = {program.source.input_shape}\n"
        if isinstance(program.source, Sound):
            yield LOG_MEL, f"POSITIONS = [\n{_wrapped(map(str, program.source.log_mel.positions.tolist()))}\n]\n"
        if isinstance(program.source, Standardize):
            for constant, values in (("OFFSET", program.source.offset), ("MULTIPLIER", program.source.multiplier)):
                yield "means and deviations", _numbers(constant, values)
        for node in program.nodes:
            if isinstance(node, ProjectBoxes):
                yield CONSTANTS, _rows(node, names[node.output].upper())
        for node in program.nodes:
            if isinstance(node, Lookup):
                yield node.output, _table(node, names[node.output].upper())
        for node in program.layers:
            yield node.output, _layer(program, node, names[node.output].upper())
        yield "code", _probabilities(program, names)
        yield "code", _PREDICT.format(argument=reads.argument, kind=reads.kind) + reads.main + LAST_LINE
