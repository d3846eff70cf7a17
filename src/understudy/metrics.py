"""Numbers that say how good answers are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


def accuracy(truth: npt.ArrayLike, answers: npt.ArrayLike) -> float:
    """Return the fraction of ``answers`` ``[batch]`` that equal ``truth`` ``[batch]``; a truth of -1 is never met."""
    return float((np.asarray(truth) == np.asarray(answers)).mean())


def standard_error(share: float, count: int) -> float:
    """Return the standard error of a ``share``, 0 to 1, found in ``count`` examples: that of a binomial proportion."""
    return math.sqrt(share * (1 - share) / max(1, count))


def macro_f1(truth: npt.ArrayLike, answers: npt.ArrayLike) -> float:
    """Return the mean F1 over the classes that occur in ``truth`` or ``answers`` ``[batch]``.

    ``F1 = 2 * hits / (answers given + answers due)``. A truth of -1, a label that was unseen in training, is no class of
    its own: it makes every answer that it receives a wrong one.
    """
    true = np.asarray(truth, np.int64)
    given = np.asarray(answers, np.int64)
    classes = max(int(true.max(initial=-1)), int(given.max(initial=-1))) + 1
    hits = np.bincount(given[given == true], minlength=classes)
    total = np.bincount(true[true >= 0], minlength=classes) + np.bincount(given, minlength=classes)
    occurs = total > 0
    return float((2 * hits[occurs] / total[occurs]).mean()) if occurs.any() else 0.0


@dataclass(frozen=True)
class ClassScores:
    """Results of each class, arrays ``[classes]``; a share without a denominator is 0.

    Attributes:
        support: examples of the class.
        precision: share of the answers with this class that are right.
        recall: share of the examples of this class that were answered with it.
        f1: their harmonic mean.
    """

    support: Int64Array
    precision: Float64Array
    recall: Float64Array
    f1: Float64Array


def class_scores(truth: npt.ArrayLike, answers: npt.ArrayLike, *, classes: int) -> ClassScores:
    """Return precision, recall and F1 of each of ``classes``; a truth of -1 makes its answer a wrong one."""
    true = np.asarray(truth, np.int64)
    given = np.asarray(answers, np.int64)
    hits = np.bincount(given[given == true], minlength=classes)
    support = np.bincount(true[true >= 0], minlength=classes)
    answered = np.bincount(given, minlength=classes)
    return ClassScores(
        support=support,
        precision=hits / np.maximum(answered, 1),
        recall=hits / np.maximum(support, 1),
        f1=2 * hits / np.maximum(answered + support, 1),
    )


@dataclass(frozen=True)
class ConfusionPair:
    """How often examples of class ``actual`` were answered with class ``predicted``."""

    actual: int
    predicted: int
    count: int


def most_confused(truth: npt.ArrayLike, answers: npt.ArrayLike, *, limit: int) -> tuple[ConfusionPair, ...]:
    """Return the ``limit`` most frequent mistakes, ties by class index; a truth of -1 is no class and is left out."""
    true = np.asarray(truth, np.int64)
    given = np.asarray(answers, np.int64)
    wrong = (true != given) & (true >= 0)
    pairs, counts = np.unique(np.stack([true[wrong], given[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:limit]
    return tuple(ConfusionPair(int(pairs[0, i]), int(pairs[1, i]), int(counts[i])) for i in order)


def auroc(positive: npt.ArrayLike, negative: npt.ArrayLike) -> float:
    """Return the chance that a score of ``positive`` ``[p]`` is above one of ``negative`` ``[n]``; ties count half.

    Raises:
        ValueError: one of both is empty, so that there is nothing to compare.
    """
    above = np.asarray(positive, np.float64)
    below = np.sort(np.asarray(negative, np.float64))
    if not above.size or not below.size:
        raise ValueError(f"AUROC needs scores on both sides: received positive={above.size} negative={below.size}")
    wins = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
    return float(wins.mean() / (2 * below.size))


def agreement(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the fraction of examples ``[batch]`` on which both give the same answer; 1 where there are none."""
    same = np.asarray(first) == np.asarray(second)
    return float(same.mean()) if same.size else 1.0
