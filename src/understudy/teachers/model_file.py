"""What teachers in model files share: reading the file, feeding it bytes in batches, telling probabilities from logits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.projections.text import encode
from understudy.teachers.protocol import PROBE_TEXTS, BoolArray, Float32Array
from understudy.units import format_bytes

SMALLEST_PROBABILITY = 1e-9
"""A probability below this one becomes its logarithm, -20.7: rounded softmax outputs hold zeros."""
BATCH = 256
_SUM_TOLERANCE = 5e-3

AnyArray = npt.NDArray[Any]


def log_probabilities(probabilities: npt.NDArray[np.float32]) -> Float32Array:
    """Return finite logarithms of float32 ``probabilities`` of any shape; NaN stays, so that a check of answers finds it."""
    found: Float32Array = np.log(np.maximum(probabilities, np.float32(SMALLEST_PROBABILITY)))
    return found


def read_file(path: Path) -> bytes:
    """Return the content of a teacher's file.

    Raises:
        InputError: the file is missing, a folder, or not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"a teacher's file must be readable: received teacher={str(path)!r} ({error.strerror}); check the path"
        ) from None


def unreadable(path: Path, *, format_name: str, reason: object) -> InputError:
    """Return the error for a file that is truncated, altered or something else than its name says."""
    first_line = str(reason).strip().partition("\n")[0][:200]
    return InputError(
        f"a teacher's {format_name} file must load: received teacher={str(path)!r}, unreadable ({first_line}); "
        "export it again or check that it was copied whole"
    )


def file_summary(path: Path, content: bytes, *, format_name: str) -> str:
    """Return a model file for people: ``ONNX file big.onnx (1.2 MB, sha256 0123456789ab)``."""
    digest = hashlib.sha256(content).hexdigest()
    return f"{format_name} file {path.name} ({format_bytes(len(content))}, sha256 {digest[:12]})"


@dataclass(frozen=True)
class TextInput:
    """How a model file takes texts.

    Attributes:
        batch: texts in one run; None where any number will do.
        length: L, bytes of text that are read; None where the file takes strings.
        dtype: element type of the bytes, int32 or uint8.
        column: strings stand in ``[batch, 1]`` instead of ``[batch]``.
    """

    batch: int | None
    length: int | None = None
    dtype: str = "int32"
    column: bool = False

    def describe(self) -> str:
        """Return the layout for people: ``int32 bytes [any, 128]``."""
        rows = "any" if self.batch is None else str(self.batch)
        if self.length is not None:
            return f"{self.dtype} bytes [{rows}, {self.length}]"
        return f"strings [{rows}, 1]" if self.column else f"strings [{rows}]"

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[AnyArray, int]]:
        """Yield input tensors and how many of their rows are texts; a fixed batch is filled up with empty texts."""
        size = self.batch or BATCH
        for start in range(0, len(texts), size):
            part = list(texts[start : start + size])
            padded = part + [""] * (size - len(part)) if self.batch else part
            if self.length is not None:
                yield encode(padded, max_bytes=self.length).astype(self.dtype), len(part)
                continue
            # Runtimes take UTF-8 only; bytes that are none become U+FFFD.
            strings = [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in padded]
            array = np.array(strings, dtype=object)
            yield (array[:, None] if self.column else array), len(part)


@dataclass(frozen=True)
class ModelFileTeacher:
    """A model file, loaded in its runtime.

    Attributes:
        run: one run of the file, input tensor to output ``[batch, columns]``.
        probabilities: the output holds probabilities, which become ``log(max(p, 1e-9))``.
        summary: the file for people.
    """

    run: Callable[[AnyArray], Float32Array]
    input: TextInput
    probabilities: bool
    name: str
    digest: str
    class_names: tuple[str, ...] | None
    summary: str

    def describe(self) -> str:
        """Return one line: the file, its input and what its output was found to be."""
        output = "probabilities, used as logarithms" if self.probabilities else "logits"
        return f"{self.summary}, input {self.input.describe()}, output {output}"

    def covers(self, texts: Sequence[str]) -> BoolArray:
        """Return all True."""
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return logits, float32 ``[texts, columns]``."""
        values = _outputs(self.run, self.input, texts)
        if self.probabilities:
            return log_probabilities(values)
        return values


def model_file_teacher(
    path: Path,
    content: bytes,
    *,
    run: Callable[[AnyArray], Float32Array],
    text_input: TextInput,
    class_names: tuple[str, ...] | None,
    format_name: str,
) -> ModelFileTeacher:
    """Return the teacher around ``run`` after finding out, with the probe texts, what its output means."""
    values = _outputs(run, text_input, PROBE_TEXTS)
    digest = hashlib.sha256(content).hexdigest()
    summary = file_summary(path, content, format_name=format_name)
    return ModelFileTeacher(run, text_input, are_probabilities(values), path.name, digest, class_names, summary)


def are_probabilities(values: Float32Array) -> bool:
    """Return whether the rows of ``values`` ``[examples, columns]`` are probabilities; those of one column need no sum."""
    columns = values.shape[1]
    # Columns that were rounded to 8 bits each add half a step of 1/256.
    tolerance = _SUM_TOLERANCE + columns / 512 * _is_stepped(values)
    inside = (values >= 0).all() and (values <= 1 + _SUM_TOLERANCE).all()
    return bool(inside and (columns == 1 or (abs(values.sum(axis=1) - 1) < tolerance).all()))


def _is_stepped(values: Float32Array) -> bool:
    steps = values * 256
    return bool((steps == np.rint(steps)).all())


def _outputs(run: Callable[[AnyArray], Float32Array], text_input: TextInput, texts: Sequence[str]) -> Float32Array:
    if not texts:
        return _outputs(run, text_input, [""])[:0]  # how many columns there are, one text tells
    return np.concatenate([run(tensor)[:rows] for tensor, rows in text_input.batches(texts)]).astype(np.float32)
