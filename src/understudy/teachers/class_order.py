"""Teachers' columns put in the order of the data's class names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from understudy.errors import InputError
from understudy.teachers.protocol import Asked_contra, BoolArray, Float32Array, Teacher, as_array, check_columns

LABELS_FILE = "labels.txt"
"""Beside a model file: one class name a line, in the order of the model's columns."""

ATTRIBUTES = ("class_names", "labels", "classes_")
"""Where an object may carry the names of its columns."""


@dataclass(frozen=True)
class OrderedTeacher(Generic[Asked_contra]):
    """A teacher whose columns follow the data's class names.

    Attributes:
        source: the teacher as it was loaded.
        columns: for each class of the data, its column in ``source``.
        note: where the order comes from, for ``describe``.
    """

    source: Teacher[Asked_contra]
    class_names: tuple[str, ...]
    columns: tuple[int, ...]
    note: str

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def digest(self) -> str:
        """Digest of the source and of the column order."""
        return hashlib.sha256(f"{self.source.digest} {self.columns}".encode()).hexdigest()

    def describe(self) -> str:
        """Return the source's line and where the order of its columns comes from."""
        return f"{self.source.describe()}; {self.note}"

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the source's file, None where it is not one file."""
        return getattr(self.source, "size_bytes", None)

    def covers(self, examples: Asked_contra, /) -> BoolArray:
        """Return what the source covers."""
        return self.source.covers(examples)

    def logits(self, examples: Asked_contra, /) -> Float32Array:
        """Return the source's logits with their columns reordered."""
        values = as_array(self.source.logits(examples), name=self.name)
        if values.ndim != 2:  # checked_logits names the rule
            return values
        check_columns(values, classes=len(self.columns), name=self.name)
        return values[:, list(self.columns)]


def in_class_order(
    teacher: Teacher[Asked_contra], class_names: Sequence[str], *, numbered: bool = False
) -> OrderedTeacher[Asked_contra]:
    """Return ``teacher`` with one column for each of ``class_names``, in their order.

    A teacher that does not name its columns is taken to have them in the sorted order of the class names. Where the labels
    are ``numbered``, whole numbers in an array and no names, that is the order of their values.

    Raises:
        InputError: the teacher's names are not those of the data, or the names are integers whose sorted order is
            ambiguous (``2`` before or after ``10``).
    """
    wanted = tuple(class_names)
    if teacher.class_names is not None:
        found = teacher.class_names
        if set(found) != set(wanted):
            found = tuple(_unescaped(name) for name in found)
        return OrderedTeacher(teacher, wanted, _columns(teacher, wanted, found), "columns named by the teacher")
    assumed = tuple(sorted(wanted, key=int) if numbered else sorted(wanted))
    if (
        not numbered
        and all(name.isascii() and name.isdigit() for name in assumed)
        and assumed != tuple(sorted(wanted, key=int))
    ):
        raise InputError(
            f"classes named by numbers have no single sorted order: received class_names={', '.join(assumed[:4])}... and "
            f"no names from teacher={teacher.name!r}; give the teacher class_names, or a model file a {LABELS_FILE} beside it"
        )
    order = "order of the class numbers" if numbered else "sorted order of the class names"
    note = f"columns are not named, assumed to be in the {order}"
    return OrderedTeacher(teacher, wanted, _columns(teacher, wanted, assumed), note)


def _columns(teacher: Teacher[Asked_contra], wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[int, ...]:
    if len(found) != len(wanted):
        raise InputError(
            f"a teacher has one column of logits for each class of the data: received columns={len(found)} for "
            f"classes={len(wanted)} from teacher={teacher.name!r}; use a teacher made for these classes"
        )
    column = {name: i for i, name in enumerate(found)}
    missing = sorted(set(wanted) - set(found))
    if missing or len(column) != len(found):
        raise InputError(
            f"a teacher's class names are those of the data, each once: received class_names without "
            f"{(missing or ['a duplicate-free list'])[0]!r} from teacher={teacher.name!r}; correct its class names"
        )
    return tuple(column[name] for name in wanted)


def _unescaped(name: str) -> str:
    """Return the class name that a bundle's ``labels.txt`` writes as ``name``, so that it stays on one line."""
    return re.sub(r"\\([\\nrt])", lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], "\\"), name)


def names_of(source: Any) -> tuple[str, ...] | None:
    """Return the class names that an object carries as ``class_names``, ``labels`` or ``classes_``, or None."""
    for attribute in ATTRIBUTES:
        found = getattr(source, attribute, None)
        if found is not None and not callable(found):
            return tuple(str(name) for name in found)
    return None


def names_beside(path: Path) -> tuple[str, ...] | None:
    """Return the class names in the ``labels.txt`` beside a model file, or None where there is none.

    Raises:
        InputError: the file is not UTF-8.
    """
    labels = path.with_name(LABELS_FILE)
    if not labels.is_file():
        return None
    try:
        lines = labels.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"a {LABELS_FILE} is UTF-8 text, one class name a line: received byte={error.object[error.start]:#04x} at "
            f"offset={error.start} in {str(labels)!r}; save it as UTF-8"
        ) from None
    names = [line.removesuffix("\r") for line in lines]
    while names and not names[-1]:  # no class is called so
        names.pop()
    return tuple(names)
