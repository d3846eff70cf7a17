"""What a plan asks of a student of words with fewer hidden values than classes, and of others (ADR 0044 and 0046)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plans import plan_of
from understudy.search.space import Candidate
from understudy.students.recipe import Recipe
from understudy.training.schedule import FEATURE_DROPOUT, TEXTS_WITH_ALL_WORDS, steps_for

RECIPE = Recipe(features=32, width=8, hidden=8)


@pytest.mark.parametrize(
    ("classes", "texts", "feature_dropout"),
    [(8, 300, FEATURE_DROPOUT), (9, 300, 0.0), (8, TEXTS_WITH_ALL_WORDS, 0.0)],
)
def test_a_training_drops_the_features_that_its_student_can_spare(classes: int, texts: int, feature_dropout: float) -> None:
    plan = plan_of(RECIPE, classes=classes, texts=texts)
    task = plan.task(Candidate(RECIPE, dropout=0.05, learning_rate=0.009), taught=False)
    assert task.schedule.feature_dropout == feature_dropout
    # the search has chosen these for the candidate already
    assert (task.schedule.dropout, task.schedule.learning_rate) == (0.05, 0.009)


@pytest.mark.parametrize(("classes", "recombined", "factor"), [(8, False, 1), (9, False, 2), (8, True, 2), (9, True, 2)])
def test_a_narrow_student_learns_for_twice_as_long_but_not_four_times(classes: int, recombined: bool, factor: int) -> None:
    candidate = Candidate(replace(RECIPE, hidden=8), dropout=0.1, learning_rate=0.003)
    usual = steps_for(20_000, batch_size=64, epochs=None)
    plan = plan_of(RECIPE, classes=classes, texts=20_000, epochs=None)
    assert replace(plan, recombined=recombined).task(candidate, taught=False).schedule.steps == factor * usual
    assert replace(plan, epochs=3).task(candidate, taught=False).schedule.steps == steps_for(20_000, batch_size=64, epochs=3)
