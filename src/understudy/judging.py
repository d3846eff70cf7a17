"""Whether a teacher is worth learning from: brought ones are taken as they are, one trained here has to earn it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from understudy.data.text import Examples, TextDataset
from understudy.metrics import accuracy, standard_error
from understudy.teachers.cache import cached_logits
from understudy.teachers.chance import check_better_than_chance
from understudy.teachers.trained import TrainedTeacher, fit_machines, has_few_validation_texts

if TYPE_CHECKING:
    from understudy.baselines import Baseline
    from understudy.data.dataset import Dataset
    from understudy.job import Job
    from understudy.job_folder import JobFolder
    from understudy.progress import Progress
    from understudy.teachers.protocol import Teacher

FOLDS = 5
"""Parts of a cross-validation."""


@dataclass(frozen=True, eq=False)
class Teaching:
    """What the teacher contributes.

    Attributes:
        teacher: None without one.
        used: students learn from it.
        note: why it is not used, or what to know; empty where nothing is to be said.
        validation_accuracy: None without a teacher or where it does not cover the validation texts.
    """

    teacher: Teacher[Any] | None
    used: bool
    note: str = ""
    validation_accuracy: float | None = None


def assess(
    teacher: Teacher[Any] | None, job: Job, dataset: Dataset, *, baseline: Baseline, folder: JobFolder, progress: Progress
) -> Teaching:
    """Return whether ``teacher`` is used: one that was brought is; one trained here must beat the baseline on validation.

    Where validation is small, its linear part must not be worse than the baseline in cross-validation (docs/adr/0033).

    Raises:
        InputError: answers that break a rule, see ``teachers/protocol.py``, or are no better than chance on validation.
    """
    if teacher is None:
        return Teaching(None, used=False)
    validation = dataset.validation
    if not teacher.covers(validation.original).all():
        return Teaching(teacher, used=True, note="it has no answers on validation examples, so its accuracy there is unknown")
    logits = cached_logits(teacher, validation.original, class_names=dataset.class_names, folder=folder.teacher).values
    reached = accuracy(validation.labels, logits.argmax(axis=1))
    if job.teacher.kind != "auto":
        check_better_than_chance(logits, validation.labels, class_names=dataset.class_names, name=teacher.name)
        plain = baseline.score(validation).accuracy
        if reached < plain - 2 * standard_error(plain, len(validation)):
            progress.note(
                f"warning: a teacher knows more than a plain baseline: received accuracy={reached:.1%} on validation from "
                f"teacher={teacher.name!r}, where {baseline.name} has {plain:.1%}; check that it is given what it was "
                "trained on, or put that into a Python function"
            )
        return Teaching(teacher, used=True, validation_accuracy=reached)
    judged, standard, margin, where = reached, baseline.score(validation).accuracy, 0.0, "it reached {} on validation"
    if isinstance(dataset, TextDataset) and has_few_validation_texts(dataset) and _can_be_folded(dataset.labelled):
        progress.stage("judging the teacher by cross-validation")
        judged, standard = cross_validated(dataset.labelled, baseline, seed=job.seed)
        margin = standard_error(standard, len(dataset.labelled))
        where = "its linear part reached {} in cross-validation"
    wanted = standard + required_gain(job.teacher.minimum_gain, standard) - margin
    note = (
        ""
        if judged >= wanted
        else f"{where.format(f'{judged:.1%}')}, where at least {wanted:.1%} was needed to be worth learning from"
    )
    return Teaching(teacher, used=judged >= wanted, note=note, validation_accuracy=reached)


def teacher_is_optional(teacher: Teacher[Any] | None, dataset: Dataset) -> bool:
    """Return whether a twin that is better on validation is delivered: it can tell, and nobody asked for ``teacher``."""
    return isinstance(teacher, TrainedTeacher) and isinstance(dataset, TextDataset) and not has_few_validation_texts(dataset)


def cross_validated(examples: Examples, baseline: Baseline, *, seed: int) -> tuple[float, float]:
    """Return the accuracies of a trained teacher's linear part and of ``baseline`` on texts that they did not learn from.

    A few validation texts cannot tell such classifiers apart; all labelled texts, a fifth at a time, can.

    Args:
        examples: texts with labels, at least ``FOLDS`` of each of two classes; those labelled -1 are left out.
        baseline: keeps its choices and learns anew from each part.
        seed: of the parts.
    """
    from sklearn.model_selection import StratifiedKFold

    known = np.flatnonzero(examples.labels >= 0)
    of_machines = of_baseline = 0.0
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of classes with few texts
        parts = list(folds.split(known, examples.labels[known]))
    for learned, asked in parts:
        train, rest = (_chosen(examples, known[rows]) for rows in (learned, asked))
        of_machines += len(rest) / len(known) * accuracy(rest.labels, fit_machines(train, seed=seed).answers(rest.texts))
        of_baseline += len(rest) / len(known) * baseline.refit(train).score(rest).accuracy
    return of_machines, of_baseline


def _can_be_folded(examples: Examples) -> bool:
    """Return whether every fold is sure to leave two classes to learn from."""
    counts = np.sort(np.bincount(examples.labels[examples.labels >= 0]))
    return len(counts) > 1 and int(counts[-2]) >= FOLDS


def _chosen(examples: Examples, rows: npt.NDArray[np.int64]) -> Examples:
    return Examples(tuple(examples.texts[row] for row in rows), examples.labels[rows])


def required_gain(minimum_gain: float, baseline_accuracy: float) -> float:
    """Return the gain in accuracy that a teacher trained here must show over the baseline.

    ``minimum_gain``, or a twentieth of the baseline's errors where that is less: where the baseline is nearly perfect no
    teacher can gain much, and a small gain still removes many of the errors that are left.
    """
    return min(minimum_gain, 0.05 * (1.0 - baseline_accuracy))
