"""What is delivered for a budget: chosen by validation alone, the refit of it where that went well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from understudy.search.space import Candidate
from understudy.selection import Selection, Tried
from understudy.students.recipe import Recipe
from understudy.training.task import TaskResult


def result(validation_accuracy: float) -> TaskResult:
    nothing: Any = None
    return TaskResult(nothing, nothing, validation_accuracy, 1.0, np.zeros((400, 2), np.float32), (), 1.0, None)


def tried(number: int, student: float | None, twin: float | None) -> Tried:
    candidate = Candidate(Recipe(), dropout=0.1, learning_rate=3e-3)
    found, other = (None if value is None else result(value) for value in (student, twin))
    return Tried(number, candidate, 9_000, student or 0.99, 1.0, found, other)


def selection(*trials: Tried, **settings: Any) -> Selection:
    return Selection("16KB", 16 * 1024, trials, **settings)


def test_the_best_finished_trial_is_chosen_and_the_first_of_equals() -> None:
    found = selection(tried(0, 0.8, 0.7), tried(1, None, None), tried(2, 0.9, 0.6), tried(3, 0.9, 0.85))
    assert found.best.number == 2
    assert found.chosen == (found.trials[2], found.trials[2].result)
    assert found.best_twin is found.trials[3]
    assert found.twin is found.trials[3].twin


@pytest.mark.parametrize(
    ("student", "twin", "optional", "recombined", "delivered"),
    [
        (0.8, 0.9, True, False, "twin"),
        (0.8, 0.9, False, False, "student"),
        (0.8, 0.801, True, False, "twin"),
        (0.8, 0.825, True, True, "twin"),
        (0.8, 0.815, True, True, "student"),  # less than a standard error of 400 examples, which is 0.02
        (0.9, 0.9, True, False, "student"),
        (0.9, None, True, True, "student"),
    ],
)
def test_a_better_twin_is_delivered_only_when_no_one_asked_for_the_teacher(
    student: float, twin: float | None, optional: bool, recombined: bool, delivered: str
) -> None:
    refit, twin_refit = result(0.95), None if twin is None else result(0.96)
    trial = tried(0, student, twin)
    found = selection(trial, refit=refit, twin_refit=twin_refit, teacher_is_optional=optional, recombined=recombined)
    assert found.delivers_twin == (delivered == "twin")
    assert found.chosen[1] is (trial.twin if delivered == "twin" else trial.result)
    assert found.student is (twin_refit if delivered == "twin" else refit)
    assert found.taught is refit


def test_a_refit_that_went_wrong_is_not_delivered() -> None:
    found = selection(tried(0, 0.9, 0.8), refit=result(0.5), twin_refit=result(0.5))
    assert found.student is found.trials[0].result
    assert found.twin is found.trials[0].twin
    assert selection(tried(0, 0.9, None)).twin is None
