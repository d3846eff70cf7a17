"""A teacher that knows no more than chance is not learned from: its classes, their order or its inputs are others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.teachers.class_order import LABELS_FILE
from understudy.teachers.protocol import Float32Array

Int64Array = npt.NDArray[np.int64]
_CLEARLY = 2.0
"""Standard errors above chance."""
_MUCH_BETTER = 0.1
"""Gain in accuracy from which another order of the columns is held to be the right one."""
_GOES_TOGETHER = 0.4
"""Agreement beyond chance (Cohen's kappa) from which columns in another order are held to be those of a teacher that learned:
with the best order for it, also one that was never trained goes with some labels."""
_SHOWN = 12


def check_better_than_chance(logits: Float32Array, labels: Int64Array, *, class_names: Sequence[str], name: str) -> None:
    """Raise ``InputError`` unless the answers ``logits`` ``[examples, classes]`` go with ``labels`` better than chance.

    Chance is the agreement of answers and labels that are independent and as frequent as these (Cohen 1960). Answers that
    another order of the columns makes much better are refused too; that order is found on one half of the examples and
    judged on the other.
    """
    known = labels >= 0
    answers, wanted = logits[known].argmax(axis=1), labels[known]
    count, classes = len(wanted), len(class_names)
    if not count:
        return
    reached = float((answers == wanted).mean())
    chance = _chance(answers, wanted, classes)
    order, straight, reordered = _best_order(answers, wanted, classes)
    much = max(_MUCH_BETTER, _CLEARLY * (0.5 / max(1, count // 2)) ** 0.5)
    if reordered >= straight + much and _goes_together(reordered, order, answers, wanted):
        found = ", ".join(class_names[i] for i in order[:_SHOWN]) + ("..." if classes > _SHOWN else "")
        raise InputError(
            f"a teacher's columns are in the order of its class names: received accuracy={reached:.1%} on validation from "
            f"teacher={name!r}, and {reordered:.1%} with the columns named {found}; write its class names in their right "
            f"order, in a {LABELS_FILE} beside a model file or as class_names of an object"
        )
    if reached <= chance + _CLEARLY * (chance * (1 - chance) / count) ** 0.5:
        most = int(np.bincount(answers, minlength=classes).max())
        raise InputError(
            f"a teacher must know more than chance: received accuracy={reached:.1%} on validation from teacher={name!r}, where "
            f"chance gives {chance:.1%} (its most frequent answer takes {most} of {count}) and the order of its columns that "
            f"fits best {reordered:.1%}; check that it was trained for these classes and is given what it was trained on"
        )


def in_another_order(answers: Sequence[Float32Array], wanted: Int64Array, best: int) -> int | None:
    """Return which of ``answers`` fits ``wanted`` best with its columns in an order of its own, None unless much better.

    Each is logits ``[examples, classes]``; ``best`` is that which fits best as they are. Columns in another order hide which
    way a model takes images: every way is about as wrong.
    """
    classes = answers[best].shape[1]
    _, straight, _ = _best_order(answers[best].argmax(axis=1), wanted, classes)
    found = [_best_order(logits.argmax(axis=1), wanted, classes) for logits in answers]
    reordered = [accuracy for _, _, accuracy in found]
    other = int(np.argmax(reordered))
    much = _MUCH_BETTER + _CLEARLY * (0.5 / max(1, len(wanted) // 2)) ** 0.5
    better = reordered[other] >= max(straight, reordered[best]) + much
    order = found[other][0]
    return other if better and _goes_together(reordered[other], order, answers[other].argmax(axis=1), wanted) else None


def _chance(answers: Int64Array, wanted: Int64Array, classes: int) -> float:
    """Return the agreement of answers and labels that are independent and as frequent as these."""
    return float(np.bincount(answers, minlength=classes) @ np.bincount(wanted, minlength=classes)) / len(wanted) ** 2


def _goes_together(reordered: float, order: Sequence[int], answers: Int64Array, wanted: Int64Array) -> bool:
    """Return whether ``answers`` reach the accuracy ``reordered`` in ``order`` because their teacher learned the classes."""
    chance = _chance(np.asarray(order)[answers], wanted, len(order))
    return reordered - chance >= _GOES_TOGETHER * (1 - chance)


def _best_order(answers: Int64Array, wanted: Int64Array, classes: int) -> tuple[list[int], float, float]:
    """Return the class of each column that fits best, and on the other half the accuracy without and with that order."""
    from scipy.optimize import linear_sum_assignment

    together = np.zeros((classes, classes), np.int64)
    np.add.at(together, (answers[::2], wanted[::2]), 1)
    # where it is all the same, a column keeps its class
    _, order = linear_sum_assignment(2 * classes * together + np.eye(classes, dtype=np.int64), maximize=True)
    straight, reordered = answers[1::2] == wanted[1::2], order[answers[1::2]] == wanted[1::2]
    if not len(straight):
        return list(order), 0.0, 0.0
    return [int(i) for i in order], float(straight.mean()), float(reordered.mean())
