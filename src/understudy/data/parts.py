"""What images and vectors share: arrays of examples with labels, split, named and digested."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from understudy.data.read import is_table
from understudy.data.room import Room, pieces
from understudy.data.splits import stratified_split
from understudy.data.text import UNSEEN
from understudy.errors import InputError
from understudy.job import DataSettings

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ArrayExamples:
    """Examples that are arrays of one shape, with labels.

    Attributes:
        content: ``[examples, ...]``.
        labels: int64 ``[examples]``, read-only; index into the class names, -1 for a label that train does not have.
    """

    content: npt.NDArray[Any]
    labels: Int64Array

    def __len__(self) -> int:
        return len(self.content)

    @property
    def original(self) -> npt.NDArray[Any]:
        """The examples as teachers and files read them."""
        return self.content

    def between(self, begin: int, end: int) -> Self:
        """Return the examples from ``begin`` up to ``end``, which are not copied."""
        return replace(self, content=self.content[begin:end], labels=self.labels[begin:end])

    def gathered(self, index: Int64Array, *others: Self, room: Room) -> Self:
        """Return the examples at ``index`` and then all ``others``."""
        content = room.gathered(index, self.content, *(other.content for other in others))
        labels = np.concatenate([self.labels[index], *(other.labels for other in others)])
        return replace(self, content=content, labels=labels)


Part = TypeVar("Part", bound=ArrayExamples)


def refuse_settings_for_texts(settings: DataSettings, *, kind: str) -> None:
    """Raise ``InputError`` for a setting of ``settings`` that only texts have, or, without a table, only tables.

    ``kind`` is what the data are, in the plural.
    """
    if settings.show_examples:
        raise InputError(
            f"data.show_examples is for texts: received data.show_examples={settings.show_examples} with {kind} in "
            f"{str(settings.train)!r}; remove it"
        )
    of_tables = () if is_table(settings.train) else ("label", "columns")
    for name in ("unlabelled", "out_of_scope", "text", *of_tables):
        if getattr(settings, name) is not None:
            whose = "tables" if name in of_tables else "texts"
            raise InputError(
                f"data.{name} is for {whose}: received data.{name}={str(getattr(settings, name))!r} with {kind} in "
                f"{str(settings.train)!r}; remove it"
            )


def class_names_of(labels: Sequence[str], path: Path, *, kind: str) -> tuple[str, ...]:
    """Return the different ``labels`` of train in order, whole numbers by their value.

    Raises:
        InputError: fewer than two.
    """
    names = set(labels)
    if len(names) < 2:
        raise InputError(
            f"a classifier needs at least two classes: received label={next(iter(names), '')[:80]!r} in all "
            f"{kind}={len(labels)} of file={str(path)!r}; check the labels"
        )
    if are_whole_numbers(names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def are_whole_numbers(names: Iterable[str]) -> bool:
    """Return whether each of ``names`` is a whole number in decimal digits."""
    return all(re.fullmatch(r"-?\d+", name) for name in names)


def check_known_labels(name: str, part: ArrayExamples, path: Path, *, kind: str) -> None:
    """Raise ``InputError`` where ``part`` has no label of train."""
    if not len(part) or (part.labels == UNSEEN).all():
        raise InputError(
            f"{name} has labels of train: received known_labels=0 in {kind}={len(part)} of file={str(path)!r}; check its labels"
        )


def file_of(name: str, settings: DataSettings) -> Path:
    """Return the file or folder that the part ``name`` (``train``, ``validation``, ``test``) is read from."""
    own: Path | None = getattr(settings, name)
    return own or settings.train


def split_parts(parts: dict[str, Part], settings: DataSettings, *, seed: int, room: Room) -> dict[str, Part]:
    """Return train, validation and test; what is not in ``parts`` yet is split off train.

    There is ``labelled`` too: train and validation, in this order, which they are slices of.
    """
    train = parts["train"]
    split = stratified_split(
        train.labels,
        validation_fraction=None if "validation" in parts else settings.validation_fraction,
        test_fraction=None if "test" in parts else settings.test_fraction,
        seed=seed,
    )
    others = [parts["validation"]] if "validation" in parts else []
    labelled = train.gathered(np.concatenate([split.train, split.validation]), *others, room=room)
    return {
        "train": labelled.between(0, len(split.train)),
        "validation": labelled.between(len(split.train), len(labelled)),
        "test": parts["test"] if "test" in parts else train.gathered(split.test, room=room),
        "labelled": labelled,
    }


def keys_of(part: ArrayExamples) -> list[bytes]:
    """Return a digest of each example, 16 bytes: equal for equal ones alone."""
    return [hashlib.blake2b(example.tobytes(), digest_size=16).digest() for example in part.content]


def digest_of(class_names: Sequence[str], *parts: ArrayExamples) -> str:
    """Return the sha256 over class names, and shape, content and labels of ``parts``."""
    digest = hashlib.sha256(repr(tuple(class_names)).encode())
    for part in parts:
        digest.update(np.asarray(part.content.shape, "<i8").tobytes())
        for piece in pieces(part.content):
            digest.update(part.content[piece].tobytes())
        digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()
