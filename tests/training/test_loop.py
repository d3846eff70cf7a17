"""Trainings learn, repeat exactly, and go on exactly where they were killed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import SetupError
from understudy.program import archive
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.distortion import distort
from understudy.training.lesson_store import LessonStore
from understudy.training.loop import Point
from understudy.training.schedule import Schedule, word_dropout_for
from understudy.training.task import TaskResult, TrainingTask, load_result, result_path, run_task
from understudy.training.workers import Workers

WORDS = ["alarm", "weather", "music", "pizza"]
FILLERS = ["please", "now", "could you", "tomorrow", "for me", "again"]
RECIPE = Recipe(features=32, width=8, hidden=8, weight_bits=4, max_bytes=48, max_words=12)
SCHEDULE = Schedule(steps=120, batch_size=16, learning_rate=1e-2)


def _texts(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    return [f"{rng.choice(FILLERS)} {WORDS[i]} {rng.choice(FILLERS)}" for i in labels], labels.astype(np.int64)


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    texts, labels = _texts(160, 0)
    validation, validation_labels = _texts(60, 1)
    teacher = 4.0 * np.eye(4, dtype=np.float32)[labels]
    views = [texts, distort(texts, fraction=0.2, seed=1)]
    LessonStore(tmp_path / "lesson").write(
        views=views,
        labels=labels,
        validation=validation,
        validation_labels=validation_labels,
        teacher_logits=np.stack([teacher, teacher]),
    )
    return tmp_path / "lesson"


def _task(**changes: object) -> TrainingTask:
    settings: dict[str, object] = {
        "recipe": RECIPE,
        "schedule": SCHEDULE,
        "objective": {"smoothing": 0.05},
        "class_weight": None,
        "classes": 4,
        "seed": 5,
        "taught": True,
    }
    return TrainingTask(**{**settings, **changes})  # type: ignore[arg-type]


def _bytes(result: TaskResult) -> bytes:
    return archive.dumps(result.program)


@pytest.mark.parametrize("changes", [{}, {"taught": False}, {"joint": True}, {"class_weight": (1.0, 2.0, 1.0, 0.5)}])
def test_a_tiny_student_learns(lesson: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    result = run_task(_task(**changes), lesson_folder=lesson, result_folder=tmp_path)
    assert result.validation_accuracy > 0.9
    assert len(result.curve) == 20
    terms = {"student_on_labels"} | ({"student_on_teacher"} if _task(**changes).taught else set())
    assert set(result.curve[-1].terms) == terms | ({"teacher_on_labels"} if "joint" in changes else set())
    assert (result.trainer is not None) == ("joint" in changes)


def test_a_refit_learns_from_the_held_out_texts_too(tmp_path: Path) -> None:
    texts, labels = _texts(160, 0)
    unknown = ["lamp on", "switch the lamp"] * 10  # a class that only the held out texts have
    held_out = np.full(len(unknown), 4, np.int64)
    store = LessonStore(tmp_path / "lesson")
    store.write(
        views=[[*texts, *unknown]],
        labels=np.concatenate([labels, held_out]),
        validation=unknown,
        validation_labels=held_out,
        teacher_logits=None,
        held_out=len(unknown),
    )
    source = build_student(RECIPE, classes=5, seed=0).source
    assert [len(store.read(source, taught=False, refit=r).labels) for r in (False, True)] == [160, 180]
    before, after = (
        run_task(
            _task(taught=False, classes=5, refit=refit), lesson_folder=store.folder, result_folder=tmp_path
        ).validation_accuracy
        for refit in (False, True)
    )
    assert before == 0
    assert after > 0.9


def test_one_seed_gives_one_result(lesson: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("a", "b"))
    first.mkdir()
    second.mkdir()
    one = run_task(_task(), lesson_folder=lesson, result_folder=first)
    two = run_task(_task(), lesson_folder=lesson, result_folder=second)
    other = run_task(_task(seed=6), lesson_folder=lesson, result_folder=first)
    assert _bytes(one) == _bytes(two)
    assert _bytes(one) != _bytes(other)


@pytest.mark.parametrize("killed_at", [6, *(pytest.param(step, marks=pytest.mark.slow) for step in (60, 78)), 72, 114])
@pytest.mark.parametrize("joint", [False, True])
def test_a_killed_training_goes_on_to_the_same_result(lesson: Path, tmp_path: Path, killed_at: int, joint: bool) -> None:
    class Kill(BaseException):
        pass

    def kill(point: Point) -> None:
        if point.step == killed_at:
            raise Kill

    task = _task(joint=joint)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = run_task(task, lesson_folder=lesson, result_folder=whole)
    with pytest.raises(Kill):
        run_task(task, lesson_folder=lesson, result_folder=broken, on_point=kill)
    assert not result_path(broken, task).exists()
    points: list[int] = []
    resumed = run_task(task, lesson_folder=lesson, result_folder=broken, on_point=lambda p: points.append(p.step))
    assert points[0] == killed_at + 6
    assert _bytes(resumed) == _bytes(expected)
    assert [p.step for p in resumed.curve] == [p.step for p in expected.curve]
    assert not list(broken.glob("*.checkpoint"))


def test_workers_give_what_one_process_gives(lesson: Path, tmp_path: Path) -> None:
    tasks = [_task(), _task(taught=False), _task(seed=6)]
    events: list[int] = []
    with Workers(lesson, tmp_path / "many", count=2) as workers:
        many = workers.run(tasks, on_point=lambda _task, event: events.append(event["step"]))
        again = workers.run(tasks)
    (tmp_path / "one").mkdir()
    one = [run_task(task, lesson_folder=lesson, result_folder=tmp_path / "one") for task in tasks]
    assert [_bytes(r) for r in many] == [_bytes(r) for r in one] == [_bytes(r) for r in again]
    assert len(events) == 60


PRINTING = """
import os, sys
if "understudy.training.worker" in sys.orig_argv:
    from understudy.training import task
    run_task = task.run_task
    def printing(*args, **options):
        os.write(2, bytes([0xFF, 0x0A]))
        print("a teacher's line\\n" * 20_000)
        return run_task(*args, **options)
    task.run_task = printing
"""
"""A ``sitecustomize.py`` that prints what is no UTF-8, and then more than a pipe holds."""


def test_what_a_teacher_prints_in_a_worker_is_no_event(lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(PRINTING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    steps: list[int] = []
    with Workers(lesson, tmp_path / "results", count=1) as workers:
        workers.run([_task()], on_point=lambda _task, event: steps.append(event["step"]))
    assert len(steps) == 20


@pytest.mark.slow
def test_a_worker_that_the_system_kills_is_no_bug_and_costs_nothing_finished(lesson: Path, tmp_path: Path) -> None:
    tasks = [_task(), _task(seed=6)]
    with Workers(lesson, tmp_path / "results", count=1) as workers:

        def kill(task: TrainingTask, event: dict[str, object]) -> None:
            if task.seed == 6 and event["step"] == 60:
                workers._workers[0].process.kill()

        with pytest.raises(SetupError, match=r"received signal=SIGKILL.*run the same command again to continue"):
            workers.run(tasks, on_point=kill)
    steps: list[int] = []
    with Workers(lesson, tmp_path / "results", count=1) as workers:
        assert workers.has_finished(tasks[0])
        assert not workers.has_finished(tasks[1])
        workers.run(tasks, on_point=lambda _task, event: steps.append(event["step"]))
    assert steps[0] > 60


@pytest.mark.slow
def test_a_full_disk_in_a_worker_is_no_bug(lesson: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{_task().key}.checkpoint").mkdir()  # where a file belongs, the system refuses
    with Workers(lesson, tmp_path / "results", count=1) as workers, pytest.raises(SetupError, match="must be able to read"):
        workers.run([_task()])


def test_results_survive_their_file(lesson: Path, tmp_path: Path) -> None:
    task = _task()
    result = run_task(task, lesson_folder=lesson, result_folder=tmp_path)
    again = load_result(result_path(tmp_path, task))
    assert again.curve == result.curve
    assert np.array_equal(again.validation_probabilities, result.validation_probabilities)
    assert TrainingTask.from_json(task.to_json()) == task


def test_long_texts_lose_more_words_in_training() -> None:
    assert [word_dropout_for(words) for words in (3, 10, 25, 90)] == pytest.approx([0.1, 0.1, 0.25, 0.4])
