"""The text of a Python file around its program: the head, what reads an example, and constants folded into lines."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from understudy.export import python_runtime
from understudy.program.ops import Image, Program, ProjectText, Sound, Source, Standardize

_LINE = 120

HEAD = '''\
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
PREDICT = '''

def predict({argument}: {kind}) -> list[tuple[str, float]]:
    """Return (label, probability) pairs, the best first."""
    scores = probabilities({argument})
    return [(LABELS[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]

'''


@dataclass(frozen=True)
class Input:
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


_TEXT = Input(
    what="a text",
    usage='"some text"      prints the best label and its probability; without a text it reads lines',
    example='"some text")',
    imports="import base64\nimport functools\nimport re\nimport string\nimport sys",
    argument="text",
    kind="str | bytes",
    read="""\
    if not isinstance(text, (str, bytes)):
        raise TypeError(f"the model reads one text, a str or UTF-8 bytes: received {type(text).__name__}")
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
""",
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
_IMAGE = Input(
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
_VECTOR = Input(
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
_SOUND = Input(
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
_INPUTS: dict[type[Source], Input] = {ProjectText: _TEXT, Image: _IMAGE, Sound: _SOUND, Standardize: _VECTOR}


def input_of(program: Program) -> Input:
    """Return the pieces of the file that read what ``program`` reads."""
    return _INPUTS[type(program.source)]


def wrapped(items: Iterable[str]) -> str:
    """Return ``items`` with commas, in lines of at most 120 characters where the items allow it."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > _LINE and line.strip():
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


def folded(content: bytes) -> str:
    """Return ``content`` in base 85 as a literal of several lines."""
    text = base64.b85encode(content).decode()
    lines = "\n".join(text[begin : begin + _LINE] for begin in range(0, len(text), _LINE))
    return f'"""\n{lines}\n"""'
