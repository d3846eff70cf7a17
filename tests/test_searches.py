"""How a search spends its trials and its time; arithmetic stands in for trainings, and a counter for the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from understudy import searches
from understudy.job_folder import Searched
from understudy.program.cost import training_work
from understudy.progress import SilentProgress
from understudy.search.space import Budget
from understudy.searches import Searches
from understudy.selection import Plan
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.schedule import MOST_EPOCHS
from understudy.training.task import TaskResult, TrainingTask

SECONDS_OF_A_START, SECONDS_OF_A_TRAINING = 0.7, 10.0
USUAL_STEPS = 3200
"""Of a thousand texts."""
WORK_IN_A_SECOND = 1e8
"""For a batch."""
RECIPE = Recipe()
IMAGES = Recipe(student="plain_cnn", image_shape=(32, 32, 3), width=32, features=0, hidden=48)


def _size(recipe: Recipe) -> dict[str, int]:
    weights = recipe.width * recipe.features + recipe.hidden * (3 * recipe.width + 20)
    return {"onnx": 500 + weights * recipe.weight_bits // 8}


class Machine:
    """Two processes whose trainings take as long as their steps say, or their work as well.

    A wider student is better, and a longer training too.
    """

    count = 2

    def __init__(self, *, by_work: bool = False) -> None:
        self.by_work = by_work
        self.rounds: list[list[TrainingTask]] = []
        self.results: dict[str, TaskResult] = {}
        self.searched = Searched()
        self.clock = 0.0
        self.stops = 0
        self.started = False

    def train_all(self, tasks: list[TrainingTask], _workers: Any, *, on_point: Any = None, **_more: Any) -> list[TaskResult]:
        new = [task for task in tasks if task.key not in self.results]
        self.rounds.append(new)
        seconds = [self._seconds(task) for task in new]
        self.clock += 0.0 if self.started else SECONDS_OF_A_START
        self.started = True
        if on_point and new:
            begin = self.clock
            for part in (1 / 20, 2 / 20):
                self.clock = begin + seconds[0] * part
                on_point(new[0], {"step": int(new[0].schedule.steps * part), "seconds": seconds[0] * part})
            self.clock = begin
        self.clock += max(sum(seconds) / self.count, max(seconds, default=0))
        for task, each in zip(new, seconds, strict=True):
            reached = 0.5 + task.recipe.width / 1000 + task.schedule.steps / 1e6 - task.schedule.dropout / 100
            nothing: Any = None
            none = np.zeros((0, 2), np.float32)
            self.results[task.key] = TaskResult(nothing, nothing, reached, reached, none, (), each, None)
        return [self.results[task.key] for task in tasks]

    def _seconds(self, task: TrainingTask) -> float:
        if self.by_work:
            return task.schedule.steps * training_work(build_student(task.recipe, classes=3, seed=1)) / WORK_IN_A_SECOND
        return SECONDS_OF_A_TRAINING * task.schedule.steps / USUAL_STEPS

    def stop(self) -> None:
        self.stops += 1
        self.started = False

    def has_finished(self, task: TrainingTask) -> bool:
        return task.key in self.results

    def result(self, task: TrainingTask) -> TaskResult:
        return self.results[task.key]

    def record_search(self, searched: Searched) -> None:
        self.searched = searched


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(searches, "train_all", found.train_all)
    monkeypatch.setattr(searches, "time", SimpleNamespace(monotonic=lambda: found.clock))
    return found


def search(
    machine: Machine,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    taught: bool = False,
    epochs: int | None = None,
    recipe: Recipe = RECIPE,
    examples: int = 1000,
    budgets: Sequence[int] = (16_384,),
) -> Searches:
    plan = Plan(
        base=recipe, classes=3, texts=examples, held_out=100, objective={}, class_weight=None, taught=taught, joint=False,
        brought=None, teacher_is_optional=True, seed=1, epochs=epochs, budgets=len(budgets),
        build=lambda recipe: build_student(recipe, classes=3, seed=1),
    )  # fmt: skip
    job: Any = SimpleNamespace(trials=trials, time_seconds=seconds, time=f"{seconds}s")
    folder: Any = SimpleNamespace(searched=lambda: machine.searched, record_search=machine.record_search)
    workers: Any = machine
    found = Searches([Budget(f"{size // 1024}KB", {"onnx": size}) for size in budgets], plan, size_of=_size)
    found.run(job, workers, wanted=None, folder=folder, progress=SilentProgress())
    return found


def test_one_trial_is_one_training_with_its_refit_beside_it(machine: Machine) -> None:
    found = search(machine, trials=1)
    assert [[task.refit for task in tasks] for tasks in machine.rounds] == [[False, True]]
    assert [t.number for t in found.tried["16KB"]] == [0]


def test_what_is_delivered_depends_on_what_the_students_learned_from(machine: Machine) -> None:
    found = search(machine, trials=1)
    assert not found.selections()[0].recombined
    found.plan = replace(found.plan, recombined=True)
    assert found.selections()[0].recombined


def test_the_best_new_one_and_the_best_so_far_learn_for_longer(machine: Machine) -> None:
    found = search(machine, trials=9)
    [first], short, long = machine.rounds
    usual = first.schedule.steps
    assert [task.schedule.steps for task in short] == [usual // 4] * 7
    assert [task.schedule.steps for task in long] == [4 * usual] * 2
    assert long[0].recipe == first.recipe
    best_of_short = max(short, key=lambda task: machine.results[task.key].validation_accuracy)
    assert long[1].recipe == best_of_short.recipe
    assert sorted(t.number for t in found.tried["16KB"]) == list(range(9))
    assert sum(t.result is not None for t in found.tried["16KB"]) == 3
    assert found.selections()[0].best.candidate.steps_factor == 4.0


def test_what_has_learned_long_already_makes_room_for_another(machine: Machine) -> None:
    search(machine, trials=17)
    *_, long, _, longest = machine.rounds
    assert [len(long), len(longest)] == [2, 2]
    assert not {task.key for task in long} & {task.key for task in longest}
    assert len({task.key for task in longest}) == 2


@pytest.mark.parametrize(("trials", "factors"), [(2, [1]), (3, [1]), (5, [2, 2]), (6, [2, 2]), (7, [3, 3])])
def test_a_small_bracket_trains_less_long(machine: Machine, trials: int, factors: list[int]) -> None:
    search(machine, trials=trials)
    [first], _, long = machine.rounds
    assert [task.schedule.steps / first.schedule.steps for task in long] == factors


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("seconds", [5.0, 20.0, 36.0, 50.0, 120.0, 300.0, 1000.0])
def test_a_search_and_its_refit_end_in_their_time_and_trials_repeat_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, seconds: float, taught: bool
) -> None:
    found = search(machine, seconds=seconds, taught=taught)
    workers: Any = machine
    found.refit(workers, progress=SilentProgress())
    assert machine.clock <= seconds
    usual = SECONDS_OF_A_TRAINING * (2.1 if taught else 1.1)
    if seconds > 1.1 * usual:
        assert (found.epochs, machine.stops) == (None, 0)
    else:
        assert machine.clock > 0.8 * seconds, "fewer passes than there was time for"
        assert machine.stops == 1
    numbers = [(t.number, t.candidate) for t in found.tried["16KB"]]
    assert (len(numbers) > 1) == (seconds > 20)

    again = Machine()
    monkeypatch.setattr(searches, "train_all", again.train_all)
    replayed = search(again, trials=len(numbers), taught=taught, epochs=found.epochs)
    assert [(t.number, t.candidate) for t in replayed.tried["16KB"]] == numbers


@pytest.mark.parametrize("seconds", [5.0, 60.0])
def test_the_same_time_again_finds_the_same_and_more_time_more(machine: Machine, seconds: float) -> None:
    first = search(machine, seconds=seconds)
    trained = len(machine.results)
    again = search(machine, seconds=seconds)
    assert [t.candidate for t in again.tried["16KB"]] == [t.candidate for t in first.tried["16KB"]]
    assert len(machine.results) == trained
    more = search(machine, seconds=1000)
    assert len(more.tried["16KB"]) > len(first.tried["16KB"])
    assert (len(first.tried["16KB"]) > 1) == (seconds > 20)
    assert more.epochs == again.epochs == first.epochs
    assert machine.stops == (first.epochs is not None)


def test_passes_that_were_asked_for_stay(machine: Machine) -> None:
    found = search(machine, seconds=5, epochs=100)
    assert (found.epochs, machine.stops) == (None, 0)
    assert machine.rounds[0][0].schedule.steps == 100 * 16


def _seconds_and_passes(budgets: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> tuple[float, list[int]]:
    """Return how long a job of images takes that has no time, and how often its students go over them."""
    usual = Machine()
    with monkeypatch.context() as patch:
        patch.setattr(searches, "train_all", usual.train_all)
        search(usual, recipe=IMAGES, examples=50_000, budgets=budgets)
    return usual.clock, [task.schedule.steps // 782 for task in usual.rounds[0] if not task.refit]


@pytest.mark.parametrize(("room", "factor"), [(1.3, 1.0), (1.7, 1.4), (2.5, 2.1), (100.0, None)])
def test_images_are_seen_more_often_where_there_is_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, room: float, factor: float | None
) -> None:
    seconds, [usual] = _seconds_and_passes([16_384], monkeypatch)
    assert usual < MOST_EPOCHS, "a job without a time leaves passes out"
    found = search(machine, seconds=room * seconds, recipe=IMAGES, examples=50_000)
    assert machine.clock <= room * seconds
    assert machine.stops == (factor != 1.0)
    if factor is None:
        assert found.epochs == MOST_EPOCHS
        assert len(found.tried["16KB"]) > 1, "what is left is for a search"
    else:
        assert (found.epochs or usual) >= factor * usual
    [student, _] = machine.rounds[0] if factor == 1.0 else machine.rounds[1]
    again = Machine()
    monkeypatch.setattr(searches, "train_all", again.train_all)
    search(again, trials=1, recipe=IMAGES, examples=50_000, epochs=found.epochs)
    assert again.rounds[0][0].key == student.key, "passes and trials repeat it"


@pytest.mark.parametrize("room", [0.3, 0.6, 1.0])
def test_images_of_several_sizes_end_in_their_time(machine: Machine, monkeypatch: pytest.MonkeyPatch, room: float) -> None:
    budgets = [4_096, 131_072]
    seconds, [small, large] = _seconds_and_passes(budgets, monkeypatch)
    assert small > 2 * large
    found = search(machine, seconds=room * seconds, recipe=IMAGES, examples=50_000, budgets=budgets)
    workers: Any = machine
    found.refit(workers, progress=SilentProgress())
    assert 0.6 * room * seconds < machine.clock <= room * seconds


def test_few_images_leave_time_for_a_wider_network_that_students_begin_from(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = search(machine, recipe=IMAGES, examples=500, budgets=[4_096, 16_384])
    [parent, small, large] = machine.rounds[0]
    assert parent.recipe.width > large.recipe.width > small.recipe.width
    assert parent.begins_from is None
    assert parent.key == small.begins_from == large.begins_from
    assert [found.parent for found in usual.selections()] == [(parent.recipe, None)] * 2
    assert all(tried.candidate.recipe != parent.recipe for tried in usual.tried["16KB"]), "it is no candidate"

    taught = Machine()
    monkeypatch.setattr(searches, "train_all", taught.train_all)
    search(taught, recipe=IMAGES, examples=500, budgets=[4_096], taught=True)
    of_pupil, of_twin, pupil, twin = taught.rounds[0]
    assert (of_pupil.taught, of_twin.taught) == (True, False)
    assert (pupil.begins_from, twin.begins_from) == (of_pupil.key, of_twin.key)


@pytest.mark.parametrize("room", [0.1, 0.5, 0.8])
def test_a_wider_network_learns_only_where_there_is_time(monkeypatch: pytest.MonkeyPatch, room: float) -> None:
    def clocked(seconds: float | None) -> tuple[Machine, Searches]:
        found = Machine(by_work=True)
        monkeypatch.setattr(searches, "train_all", found.train_all)
        monkeypatch.setattr(searches, "time", SimpleNamespace(monotonic=lambda: found.clock))
        return found, search(found, recipe=IMAGES, examples=500, seconds=seconds)

    usual, _ = clocked(None)
    [parent, student, _] = usual.rounds[0]
    hurried, found = clocked(room * usual.clock)
    assert hurried.clock <= room * usual.clock
    assert hurried.stops == 1
    again, _ = hurried.rounds[1]
    assert (again.recipe, again.begins_from) == (student.recipe, None)
    assert found.epochs is not None, "a replay needs to know that there was none"
    usual_passes = student.schedule.steps // 8
    assert found.epochs <= usual_passes
    assert (found.epochs == usual_passes) == (room == 0.8)

    ample, found = clocked(2 * usual.clock)
    assert (ample.stops, found.epochs) == (0, None)
    assert ample.rounds[0][0].key == parent.key


def test_many_images_and_passes_that_were_asked_for_leave_no_time_for_a_wider_network(machine: Machine) -> None:
    assert search(machine, recipe=IMAGES, examples=50_000).parent is None
    assert search(machine, recipe=IMAGES, examples=500, epochs=3).parent is None
    assert search(machine, recipe=RECIPE, examples=500).parent is None
    of_sizes = search(machine, recipe=IMAGES, examples=50_000, budgets=[4_096, 16_384]).parent
    assert of_sizes is not None
    assert of_sizes[1] == "16KB"
