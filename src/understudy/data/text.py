"""Texts and labels, split and counted: what training, search and measurement get to see of the user's files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from understudy.data.lines import are_lines, read_lines
from understudy.data.read import read_rows, read_table
from understudy.data.splits import sources_of, stratified_split
from understudy.data.statistics import (
    DataStatistics,
    data_statistics,
    length_bytes,
    suggest_max_bytes,
    suggest_max_words,
)
from understudy.data.table import Rows, find_text_and_label, take_rows
from understudy.errors import InputError
from understudy.job import DataSettings
from understudy.projections.text import encode

if TYPE_CHECKING:
    from understudy.program.ops import Program

__all__ = ["Examples", "Rows", "TextDataset", "label_indices", "load_text_dataset", "read_rows"]

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UNSEEN = -1
"""Index of a label that train does not have."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts with labels.

    Attributes:
        texts: any bytes, decoded as UTF-8 with ``surrogateescape``.
        labels: int64 ``[len(texts)]``, read-only; index into the class names, -1 for a label that train does not have.
    """

    texts: tuple[str, ...]
    labels: Int64Array

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def content(self) -> tuple[str, ...]:
        """What the examples consist of beside their labels."""
        return self.texts

    @property
    def original(self) -> tuple[str, ...]:
        """The examples as teachers read them."""
        return self.texts

    def inputs(self, program: Program) -> Int32Array:
        """Return what ``program`` reads, int32 ``[len(texts), max_bytes]``."""
        return encode(self.texts, max_bytes=program.projection.max_bytes)


@dataclass(frozen=True, eq=False)
class TextDataset:
    """All texts of a job.

    Attributes:
        class_names: the labels of train, sorted.
        train: every class has at least one example here.
        validation: for every choice.
        test: for the final figures only; influences nothing.
        unlabelled: more texts for the teacher to answer.
        out_of_scope: texts that belong to no class; only for the report.
        statistics: all of it, counted.
        digest: sha256 over class names, train, validation and unlabelled: over all that can influence a model.
        test_digest: sha256 over test and out_of_scope.
    """

    class_names: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    unlabelled: tuple[str, ...]
    out_of_scope: tuple[str, ...]
    statistics: DataStatistics
    digest: str
    test_digest: str

    @property
    def labelled(self) -> Examples:
        """Train and validation, in this order: all that may be learned from once the choices are made."""
        labels = np.concatenate([self.train.labels, self.validation.labels])
        labels.flags.writeable = False
        return Examples(self.train.texts + self.validation.texts, labels)


def load_text_dataset(
    settings: DataSettings,
    *,
    seed: int,
    max_bytes: int | Literal["auto"] = "auto",
    max_words: int | Literal["auto"] = "auto",
) -> TextDataset:
    """Return the data that ``settings`` names, split and counted.

    Args:
        settings: files, columns and fractions. Columns that are not named are guessed from train, for every file.
        seed: fixes which rows are split off train; with a test file the split does not depend on that file.
        max_bytes: L; ``auto`` is ``suggest_max_bytes`` of the training texts. ``statistics`` has the number.
        max_words: W; ``auto`` is ``suggest_max_words`` of the training texts.

    Raises:
        InputError: a file, column or row that cannot be used, fewer than two classes, a class or part left empty.
        SetupError: a file may not be read, or its format needs an extra.
    """
    table = read_table(settings.train)
    text, label = find_text_and_label(table, settings.text, settings.label, in_job=True)
    rows = {"train": take_rows(table, text=text, label=label)}
    for name, path, column in (
        ("validation", settings.validation, label),
        ("test", settings.test, label),
        ("unlabelled", settings.unlabelled, None),
        ("out_of_scope", settings.out_of_scope, None),
    ):
        if path is not None:
            rows[name] = read_rows(path, text=text, label=column) if column else _without_labels(path, text)

    class_names = _class_names(rows["train"], label, settings=settings)
    if not any(each.strip() for each in rows["train"].texts):
        raise InputError(
            f"a classifier needs texts that are not empty: received {text} without one in rows={len(rows['train'].texts)} of "
            f"file={str(settings.train)!r}; check the text column"
        )
    parts = {
        name: Examples(part.texts, label_indices(part.labels, class_names))
        for name, part in rows.items()
        if part.labels is not None
    }
    for name, part in parts.items():
        _check_labels_known(name, part, class_names, settings=settings)
    sources = {name: str(getattr(settings, name)) for name in rows}
    parts = _split(parts, settings, seed=seed)
    sources = sources_of(sources, {name: len(part) for name, part in parts.items()}, train=str(settings.train), seed=seed)
    unlabelled, out_of_scope = (rows[name].texts if name in rows else () for name in ("unlabelled", "out_of_scope"))
    texts = {name: part.texts for name, part in parts.items()}
    texts |= {name: rows[name].texts for name in ("unlabelled", "out_of_scope") if name in rows}
    return TextDataset(
        class_names=class_names,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        unlabelled=unlabelled,
        out_of_scope=out_of_scope,
        statistics=data_statistics(
            class_names,
            texts=texts,
            labels={name: part.labels for name, part in parts.items()},
            sources=sources,
            max_bytes=suggest_max_bytes(parts["train"].texts) if max_bytes == "auto" else max_bytes,
            max_words=suggest_max_words(parts["train"].texts) if max_words == "auto" else max_words,
        ),
        digest=_digest(class_names, parts["train"], parts["validation"], unlabelled),
        test_digest=_digest(class_names, parts["test"], out_of_scope),
    )


def _without_labels(path: Path, text: str) -> Rows:
    """Return the texts of a file without labels: a table with the column ``text``, or one text a line."""
    if not are_lines(path):
        return read_rows(path, text=text, label=None)
    texts = read_lines(path)
    if not texts:
        raise InputError(f"a data file has at least one row: received rows=0 in file={str(path)!r}; leave it out, or add texts")
    return Rows(texts)


def label_indices(labels: Sequence[str], class_names: Sequence[str]) -> Int64Array:
    """Return the index of each label in ``class_names``, int64 ``[len(labels)]``, read-only; -1 where it is not there."""
    index = {name: position for position, name in enumerate(class_names)}
    out = np.fromiter((index.get(label, UNSEEN) for label in labels), np.int64, len(labels))
    out.flags.writeable = False
    return out


def _class_names(train: Rows, column: str, *, settings: DataSettings) -> tuple[str, ...]:
    names = tuple(sorted(set(train.labels or ())))
    if len(names) < 2:
        raise InputError(
            f"a classifier needs at least two classes: received {column}={names[0][:80]!r} "
            f"in all rows={len(train.texts)} of file={str(settings.train)!r}; check the label column"
        )
    return names


def _check_labels_known(name: str, part: Examples, class_names: Sequence[str], *, settings: DataSettings) -> None:
    if (part.labels == UNSEEN).all():
        raise InputError(
            f"the {name} file has labels of train: received known_labels=0 of classes={len(class_names)} "
            f"in rows={len(part)} of file={str(getattr(settings, name))!r}; check its label column"
        )


def _split(parts: dict[str, Examples], settings: DataSettings, *, seed: int) -> dict[str, Examples]:
    """Return train, validation and test; what is not in ``parts`` yet is split off train."""
    train = parts["train"]
    split = stratified_split(
        train.labels,
        validation_fraction=None if "validation" in parts else settings.validation_fraction,
        test_fraction=None if "test" in parts else settings.test_fraction,
        seed=seed,
    )
    return {
        "train": _take(train, split.train),
        "validation": parts.get("validation") or _take(train, split.validation),
        "test": parts.get("test") or _take(train, split.test),
    }


def _take(examples: Examples, indices: Int64Array) -> Examples:
    labels = examples.labels[indices]
    labels.flags.writeable = False
    return Examples(tuple(examples.texts[index] for index in indices.tolist()), labels)


def _digest(*parts: Sequence[str] | Examples) -> str:
    """Return the sha256 over ``parts``, each text with its length before it, so that no two contents give the same bytes."""
    digest = hashlib.sha256()
    for part in parts:
        texts = part.texts if isinstance(part, Examples) else part
        digest.update(np.asarray([len(texts), *length_bytes(texts)], "<i8").tobytes())
        digest.update("".join(texts).encode("utf-8", "surrogateescape"))
        if isinstance(part, Examples):
            digest.update(part.labels.astype("<i8").tobytes())
    return digest.hexdigest()
