"""What a teacher is, and the check that every answer of one passes."""

from __future__ import annotations

import hashlib
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError, TeacherError, UnderstudyError

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
Int16Array = npt.NDArray[np.int16]
ExampleArray = UInt8Array | Float32Array | Int16Array
"""Images uint8 ``[N, H, W, C]``, vectors float32 ``[N, d]`` or ``[N, T, C]``, or sounds int16 ``[N, samples]``."""
Asked_contra = TypeVar("Asked_contra", contravariant=True)
"""What a teacher answers: a sequence of texts, or images uint8 ``[images, H, W, C]``."""

PROBE_TEXTS = (
    "",
    "a",
    "Hello, World!",
    "move my meeting to friday at 7:30",
    "what is the cheapest flight from boston to denver",
    "naïve café, 12.50 €",
    "yes yes no no maybe",
    "please play the second song of the new album",
)
"""Texts that belong to no data set; a teacher's answers to them tell probabilities from logits and make its digest."""


class Teacher(Protocol[Asked_contra]):
    """Gives logits for texts, or for images.

    Implementers:

    - ``logits`` returns float32 ``[examples, classes]``: finite, higher is likelier, log-probabilities allowed, columns in
      the order of ``class_names``. It gives equal rows for equal examples, in every call and for every batch size.
    - a text may hold any bytes: ``str`` decoded with ``errors="surrogateescape"``; the empty text is a text.
    - images are uint8 ``[images, H, W, C]`` as they were read: layout and range that a model wants are the teacher's affair.
    - sounds are int16 ``[sounds, samples]``, at the rate and length of the data.
    - vectors and windows are float32 ``[vectors, d]`` or ``[windows, T, C]`` in the units of the data.
    - ``covers`` says for which examples an answer exists. A teacher that can answer everything returns all True; one that
      cannot raises ``InputError`` when it is asked for more. No answer is ever made up.
    - ``describe`` is one line for people: what was loaded, what was found out about it, what was assumed.
    - ``digest`` changes whenever an answer may change: the cache of answers trusts it.
    - ``class_names`` is None where the source does not name its columns.
    """

    @property
    def name(self) -> str:
        """Short name for messages and reports."""
        ...

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of everything that fixes the answers."""
        ...

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the source says them."""
        ...

    def describe(self) -> str:
        """Return one line: the source, its layout and what was assumed."""
        ...

    def covers(self, examples: Asked_contra, /) -> BoolArray:
        """Return for each example whether ``logits`` can answer it, bool ``[examples]``."""
        ...

    def logits(self, examples: Asked_contra, /) -> Float32Array:
        """Return logits, float32 ``[examples, classes]``."""
        ...


TextTeacher = Teacher[Sequence[str]]
ImageTeacher = Teacher[UInt8Array]
VectorTeacher = Teacher[Float32Array]
SoundTeacher = Teacher[Int16Array]


ANSWERS = "a teacher must answer every text, the empty one too, every image, sound or vector"
"""The rule that a teacher breaks whose code fails when it is asked."""
LOADS = "a teacher's own code must load without an error"
"""The rule that a teacher breaks whose code fails before it can be asked."""

_OUR_CODE = Path(__file__).parents[1]
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_INSTALLED = {"site-packages", "dist-packages"}


@contextmanager
def users_code(name: str, *, rule: str = ANSWERS) -> Iterator[None]:
    """Turn what the code of the teacher ``name`` raises into a ``TeacherError`` that says where; its cause is kept.

    Code that ends the process is the same error: a job must not end with the code and the silence of its teacher.
    """
    try:
        yield
    except UnderstudyError:
        raise
    except (Exception, SystemExit) as error:
        place = place_of(error)
        raise TeacherError(
            f"{rule}: received teacher={name!r}, whose code raised {type(error).__name__}: {error} "
            f"({Path(place.filename).name}, line {place.lineno}); correct it"
        ) from error


def place_of(error: BaseException) -> traceback.FrameSummary:
    """Return the innermost place in the user's own files that led to ``error``; without one, the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame for frame in reversed(frames) if _is_users_file(frame.filename)), frames[-1])


def _is_users_file(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith("<") or not _INSTALLED.isdisjoint(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in (_OUR_CODE, _STANDARD_LIBRARY))


def as_array(answer: Any, *, name: str) -> Float32Array:
    """Return ``answer`` (array, tensor or nested lists) as float32, without looking at its shape.

    Raises:
        InputError: not numbers, complex ones, or rows of different lengths.
    """
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
        answer = (answer if answer.is_complex() else answer.float()).numpy()
    try:
        values = np.asarray(answer)
        # NumPy would drop the imaginary parts, with a warning to nobody
        if np.iscomplexobj(values):
            raise InputError(
                f"a teacher's logits are real numbers: received dtype={str(values.dtype)!r} from teacher={name!r}; "
                "return or save real ones"
            )
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    except (TypeError, ValueError):
        raise InputError(
            f"a teacher returns numbers, one row of logits for each example: received type={type(answer).__name__!r} "
            f"from teacher={name!r}; return an array [examples, classes]"
        ) from None


def checked_logits(teacher: Teacher[Any], examples: Sequence[str] | ExampleArray, classes: int) -> Float32Array:
    """Return the teacher's logits for ``examples``, float32 ``[examples, classes]``, after checking them.

    Raises:
        InputError: not one row for each example, another number of classes, or a value that is not finite.
    """
    if not len(examples):
        return np.zeros((0, classes), np.float32)
    values = as_array(teacher.logits(examples), name=teacher.name)
    if values.ndim != 2 or len(values) != len(examples):
        kind = kind_of_example(examples)
        raise InputError(
            f"a teacher gives one row of logits for each {kind}: received shape={values.shape} for {kind}s={len(examples)} "
            f"from teacher={teacher.name!r}; return an array [{kind}s, classes]"
        )
    check_columns(values, classes=classes, name=teacher.name)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"a teacher's logits are finite numbers: received logits[{row}, {column}]={values[row, column]} (and "
            f"{int((~finite).sum()) - 1} more) from teacher={teacher.name!r}; repair the teacher, "
            "and where it returns log(p) use log(max(p, 1e-9))"
        )
    return values


def kind_of_example(examples: Sequence[str] | ExampleArray) -> str:
    """Return what one of ``examples`` is called."""
    if not isinstance(examples, np.ndarray):
        return "text"
    return {np.dtype(np.uint8): "image", np.dtype(np.int16): "sound"}.get(examples.dtype, "vector")


def check_columns(values: Float32Array, *, classes: int, name: str) -> None:
    """Raise ``InputError`` unless ``values`` ``[examples, columns]`` has one column for each class."""
    if values.shape[1] != classes:
        raise InputError(
            f"a teacher has one column of logits for each class of the data: received columns={values.shape[1]} "
            f"for classes={classes} from teacher={name!r}; use a teacher made for these classes"
        )


def behaviour_digest(answers: Float32Array, *parts: bytes) -> str:
    """Return the sha256 over a teacher's ``answers`` to ``PROBE_TEXTS`` and further ``parts`` that fix it."""
    digest = hashlib.sha256(np.ascontiguousarray(answers, np.float32).tobytes())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
