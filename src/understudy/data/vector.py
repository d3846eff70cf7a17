"""Vectors and windows of numbers with labels, split and counted: what training, search and measurement get to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from understudy.data.array_statistics import VectorStatistics, vector_statistics
from understudy.data.npz import array_names, has_part_of_its_own, note_on_unused
from understudy.data.number_table import named, read_number_table
from understudy.data.parts import (
    ArrayExamples,
    check_known_labels,
    class_names_of,
    digest_of,
    file_of,
    keys_of,
    refuse_settings_for_texts,
    split_parts,
)
from understudy.data.read import is_table
from understudy.data.room import TEMPORARY, Room, pieces
from understudy.data.splits import sources_of
from understudy.data.text import label_indices
from understudy.data.vector_arrays import Vectors, read_vectors
from understudy.errors import InputError
from understudy.job import DataSettings

if TYPE_CHECKING:
    from understudy.program.ops import Program

Float32Array = npt.NDArray[np.float32]
LEAST_DEVIATION, LEAST_SHARE = 1e-30, 1e-6
"""A feature whose deviation is smaller, by itself or as a share of its mean, never changes but for rounding."""
_DROWNED_SHARE = 1e-3
"""Of the deviation. A feature whose middle half is narrower is one value to 8-bit weights, whatever its few far ones are."""
_SAMPLED = 50_000


@dataclass(frozen=True, eq=False)
class VectorExamples(ArrayExamples):
    """Vectors or windows with labels.

    Attributes:
        content: float32 ``[examples, d]`` or ``[examples, T, C]``, in the user's own units.
        labels: int64 ``[examples]``, read-only; index into the class names, -1 for a label that train does not have.
    """

    content: Float32Array

    def inputs(self, program: Program) -> Float32Array:  # noqa: ARG002 - every program for these numbers reads them as they are
        """Return what ``program`` reads."""
        return self.content


@dataclass(frozen=True, eq=False)
class VectorDataset:
    """All vectors of a job; see ``ImageDataset`` for the other attributes.

    Attributes:
        offset: float32 ``[d]`` or ``[C]``: the mean of each feature, or of a window's channel, over train.
        multiplier: float32 of the same shape: one over its deviation, 0 for one that never changes.
        columns: names of a vector's numbers, where they came from a table.
    """

    class_names: tuple[str, ...]
    train: VectorExamples
    validation: VectorExamples
    test: VectorExamples
    labelled: VectorExamples
    offset: Float32Array
    multiplier: Float32Array
    statistics: VectorStatistics
    digest: str
    test_digest: str
    columns: tuple[str, ...] | None = None
    unlabelled: tuple[()] = ()
    out_of_scope: tuple[()] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """``(d,)`` or ``(T, C)``."""
        return self.train.content.shape[1:]


def standardization(values: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return offset and multiplier of ``values`` ``[examples, ..., channels]``: the means, and one over the deviations."""
    channels = values.shape[-1]
    count = max(1, values.size // channels)
    parts = [values[piece] for piece in pieces(values)]  # no copies: slices
    mean = sum((part.reshape(-1, channels).sum(axis=0, dtype=np.float64) for part in parts), np.zeros(channels)) / count
    squares = (np.square(part.reshape(-1, channels) - mean).sum(axis=0, dtype=np.float64) for part in parts)
    deviation = np.sqrt(sum(squares, np.zeros(channels)) / count)
    changes = deviation > np.maximum(LEAST_DEVIATION, LEAST_SHARE * np.abs(mean))
    offset = np.where(np.abs(mean) < LEAST_DEVIATION, 0, mean)
    return offset.astype(np.float32), np.where(changes, 1 / np.where(changes, deviation, 1), 0).astype(np.float32)


def drowned(values: Float32Array, multiplier: Float32Array) -> int:
    """Return how many features or channels change, but by next to nothing beside a few values far from all others.

    Those where the middle half of the values are equal are not counted: what is rare may be what tells classes apart.

    Args:
        values: float32 ``[examples, ..., channels]``.
        multiplier: one over their deviations, float32 ``[channels]``; 0 for one that never changes.
    """
    rows = values.reshape(-1, values.shape[-1])
    sample = rows[:: -(-len(rows) // _SAMPLED)].astype(np.float64)  # a few far values hardly move the quartiles
    lower, upper = np.quantile(sample, (0.25, 0.75), axis=0)
    width = (upper - lower) * multiplier
    return int(((width > 0) & (width < _DROWNED_SHARE)).sum())


def load_vector_dataset(settings: DataSettings, *, seed: int, room: Room = TEMPORARY) -> VectorDataset:
    """Return the vectors or windows that ``settings`` names, split and counted; what came from arrays stands in ``room``.

    Raises:
        InputError: a file or array that cannot be used, fewer than two classes, a part left empty.
        SetupError: ``room`` has none for them.
    """
    refuse_settings_for_texts(settings, kind="vectors")
    found = {"train": read_training(settings, room=room)}
    shape, columns = found["train"].values.shape[1:], found["train"].columns
    for name in ("validation", "test"):
        path: Path | None = getattr(settings, name)
        if path is not None:
            found[name] = read_labelled(path, columns, label=settings.label, part=name, room=room)
        elif not is_table(settings.train) and has_part_of_its_own(name, array_names(settings.train)):
            found[name] = read_vectors(settings.train, part=name, room=room)
    for name, vectors in found.items():
        if vectors.labels is None:
            raise InputError(
                f"every example has a label: received file={str(file_of(name, settings))!r} without labels for {name}; add y "
                "to x, y_train to x_train, y_val to x_val, y_test to x_test"
            )
        if vectors.values.shape[1:] != shape:
            raise InputError(
                f"all examples have one shape: received {name} {vectors.values.shape[1:]} and train {shape}; make them equal"
            )
    from_train = [name for name in found if file_of(name, settings) == settings.train]
    class_names = class_names_of(found["train"].labels or (), settings.train, kind="examples")
    parts = {name: VectorExamples(part.values, label_indices(part.labels or (), class_names)) for name, part in found.items()}
    for name, part in parts.items():
        check_known_labels(name, part, file_of(name, settings), kind="examples")
    own = {name: str(file_of(name, settings)) for name in parts}
    parts = split_parts(parts, settings, seed=seed, room=room)
    labelled = parts.pop("labelled")
    sources = sources_of(own, {name: len(part) for name, part in parts.items()}, train=str(settings.train), seed=seed)
    offset, multiplier = standardization(parts["train"].content)
    statistics = vector_statistics(
        class_names,
        shape=shape,
        columns=columns,
        found={
            "constant_feature": int((multiplier == 0).sum()),
            "drowned_feature": drowned(parts["train"].content, multiplier),
        },
        labels={name: part.labels for name, part in parts.items()},
        keys={name: keys_of(part) for name, part in parts.items()},
        sources=sources,
        notes=() if is_table(settings.train) else note_on_unused(settings.train, from_train),
    )
    return VectorDataset(
        class_names,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        labelled=labelled,
        offset=offset,
        multiplier=multiplier,
        statistics=statistics,
        digest=digest_of(class_names, parts["train"], parts["validation"]),
        test_digest=digest_of(class_names, parts["test"]),
        columns=columns,
    )


def read_training(settings: DataSettings, *, room: Room = TEMPORARY) -> Vectors:
    """Return every example that ``settings.train`` has for training, before anything is split off.

    Raises:
        InputError: a file, array, column or cell that cannot be used.
        SetupError: ``room`` has none for them.
    """
    if is_table(settings.train):
        return read_number_table(settings.train, settings.columns, label=settings.label, room=room)
    return read_vectors(settings.train, part="train", room=room)


def read_labelled(
    path: Path, columns: Sequence[str] | None, *, label: str | None, part: str = "test", room: Room = TEMPORARY
) -> Vectors:
    """Return the examples and labels of ``path``: of a table those in ``columns``, of an NPZ those of ``part``.

    Raises:
        InputError: a file, array, column or cell that cannot be used.
        SetupError: ``room`` has none for them.
    """
    if is_table(path):
        return read_number_table(path, named(columns, path), label=label, room=room)
    return read_vectors(path, part=part, room=room)
