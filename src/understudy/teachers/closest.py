"""Which of several ways to ask a model is right: the one whose answers fit labels best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.teachers.protocol import Float32Array

Int64Array = npt.NDArray[np.int64]
TRIED = 256
"""Labelled examples on which the ways to ask a model are compared."""
MOST_TRIED = 1024
"""The same for those between which fewer examples leave it to chance."""
CLEARLY = 2.0
"""Standard errors that make a difference."""
_MUCH_LOSS = 0.25
"""Nats of cross-entropy."""


def tried_rows(labels: Int64Array, *, most: int = TRIED) -> Int64Array:
    """Return rows of labelled examples, at most ``most`` from all over ``labels``."""
    at = np.linspace(0, len(labels) - 1, min(most, len(labels))).astype(np.int64)
    return at[labels[at] >= 0]


def near_ties(answers: Sequence[Float32Array], wanted: Int64Array) -> list[int]:
    """Return those of ``answers`` that are not clearly less accurate than the best, none where all of them are as accurate.

    Args:
        answers: logits float32 ``[examples, classes]`` of each way.
        wanted: int64 ``[examples]``.
    """
    wrong = _wrong(answers, wanted)
    near = _not_clearly_worse(wrong, range(len(answers)))
    return near if len({float(wrong[way].mean()) for way in near}) > 1 else []


def closest_to_labels(answers: Sequence[Float32Array], wanted: Int64Array, *, examples: str) -> tuple[int, str]:
    """Return which of ``answers`` fit the labels ``wanted`` best, and a few words about it, none where there is one alone.

    Of those that are not clearly less accurate than the best, and among them not much further from the labels in
    cross-entropy, it is the first: answers that are right on all these examples gain in cross-entropy from being too sure.

    Args:
        answers: logits float32 ``[examples, classes]`` of each way, the most usual first.
        wanted: int64 ``[examples]``.
        examples: what they are, in the plural.
    """
    accuracies = [1 - float(row.mean()) for row in _wrong(answers, wanted)]
    loss = [-log_softmax(np.nan_to_num(logits))[np.arange(len(wanted)), wanted] for logits in answers]
    good = _not_clearly_worse(_wrong(answers, wanted), range(len(answers)))
    best = min(_not_clearly_worse(loss, good, by=_MUCH_LOSS))
    if len(answers) == 1:
        return best, ""
    others = _span([accuracy for i, accuracy in enumerate(accuracies) if i != best])
    return best, f"found on {len(wanted)} labelled {examples}: accuracy {accuracies[best]:.1%}, with other ways {others}"


def _wrong(answers: Sequence[Float32Array], wanted: Int64Array) -> list[npt.NDArray[np.float64]]:
    return [(logits.argmax(axis=1) != wanted).astype(np.float64) for logits in answers]


def _not_clearly_worse(loss: Sequence[npt.NDArray[np.float64]], among: Sequence[int], *, by: float = 0.0) -> list[int]:
    """Return those ``among`` the rows of ``loss`` whose mean is not clearly, by more than ``by``, above the lowest one's."""
    lowest = min(among, key=lambda i: loss[i].mean())
    found = []
    for i in among:
        difference = loss[i] - loss[lowest]
        if difference.mean() <= by + CLEARLY * difference.std() / max(1, len(difference)) ** 0.5:
            found.append(i)
    return found


def _span(accuracies: Sequence[float]) -> str:
    low, high = min(accuracies), max(accuracies)
    return f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"


def log_softmax(logits: Float32Array) -> npt.NDArray[np.float64]:
    """Return log-probabilities of logits ``[examples, classes]``."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
