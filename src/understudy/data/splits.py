"""Seeded, stratified splits that keep every class in train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts, each ascending; together every row once. A part that was not asked for is empty."""

    train: Int64Array
    validation: Int64Array
    test: Int64Array


def stratified_split(labels: Int64Array, *, validation_fraction: float | None, test_fraction: float | None, seed: int) -> Split:
    """Return a split in which each class has its share of every part; None asks for no such part.

    A class of one example stays in train. A class of two or more is in train and in validation; it is in test as far as
    its share, rounded by largest remainder over all classes, gives it a row that the other two can spare.

    Args:
        labels: int64 ``[rows]``, the class of each row; every class from 0 to the largest occurs.
        validation_fraction: share of all rows for validation.
        test_fraction: share of all rows for test.
        seed: the same labels, fractions and seed give the same split.

    Raises:
        InputError: the fractions leave fewer rows to train on than there are classes, or a part that was asked for is empty.
    """
    sizes = np.bincount(labels)
    _check_train_rows(len(labels), len(sizes), validation_fraction=validation_fraction, test_fraction=test_fraction)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    ties = random.permutation(len(sizes))

    spare = np.maximum(sizes - 1, 0)
    nothing = np.zeros_like(sizes)
    for_test = nothing
    if test_fraction is not None:
        most = spare if validation_fraction is None else np.maximum(spare - 1, 0)
        for_test = _shares(sizes, fraction=test_fraction, most=most, ties=ties)
    for_validation = nothing
    if validation_fraction is not None:
        most = spare - for_test
        for_validation = np.maximum(_shares(sizes, fraction=validation_fraction, most=most, ties=ties), np.minimum(most, 1))

    # rank of each row among the shuffled rows of its class: the first go to test, the next to validation
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    in_test = rank < for_test[labels]
    in_validation = ~in_test & (rank < (for_test + for_validation)[labels])
    split = Split(
        train=np.flatnonzero(~in_test & ~in_validation),
        validation=np.flatnonzero(in_validation),
        test=np.flatnonzero(in_test),
    )
    _check_part("validation", validation_fraction, len(split.validation), rows=len(labels))
    _check_part("test", test_fraction, len(split.test), rows=len(labels))
    return split


def sources_of(own: Mapping[str, str], sizes: Mapping[str, int], *, train: str, seed: int) -> dict[str, str]:
    """Return where the rows of every part came from, for people.

    Args:
        own: part to its own file.
        sizes: rows of ``train``, ``validation`` and ``test``.
        train: the file that parts without their own were split off. They say the share that they got, which is not always
            the one that was asked for: every class must be in validation.
        seed: of the split.
    """
    rows = sum(size for name, size in sizes.items() if name == "train" or name not in own)
    split_off = (name for name in ("validation", "test") if name not in own)
    return {**own, **{name: f"{sizes[name] / rows:.0%} of {train}, seed {seed}" for name in split_off}}


def _shares(sizes: Int64Array, *, fraction: float, most: Int64Array, ties: Int64Array) -> Int64Array:
    """Return how many rows of each class a part gets: ``fraction`` of ``sizes`` by largest remainder, at most ``most``."""
    quota = sizes * fraction
    counts: Int64Array = np.minimum(np.floor(quota).astype(np.int64), most)
    remainder = quota - counts
    order = np.lexsort((ties, -remainder))
    wanted = round(float(sizes.sum()) * fraction) - int(counts.sum())
    takers = order[counts[order] < most[order]][: max(wanted, 0)]
    counts[takers] += 1
    return counts


def _check_train_rows(rows: int, classes: int, *, validation_fraction: float | None, test_fraction: float | None) -> None:
    train_rows = round(rows * (1 - (validation_fraction or 0) - (test_fraction or 0)))
    if train_rows < classes:
        raise InputError(
            "no class is empty after splitting: "
            f"received classes={classes} and train_rows={train_rows} of rows={rows} with "
            f"validation_fraction={validation_fraction} and test_fraction={test_fraction}; "
            "check that --label names the labels, bring more rows, smaller fractions, or separate files for validation and test"
        )


def _check_part(part: str, fraction: float | None, count: int, *, rows: int) -> None:
    if fraction is not None and not count:
        raise InputError(
            f"the {part} split has at least one row: received rows={rows} of which {part}_fraction={fraction} leaves none; "
            f"bring more rows of each class, or a separate file with --{part}"
        )
