"""An output folder belongs to one job and one run, and keeps no trace of a job that never began."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.errors import InputError, SetupError, TeacherError
from understudy.job_folder import Searched, claim

MINE = {"settings": "1", "data": "2", "teacher": "3"}


def entries(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_same_job_comes_back_and_finds_what_it_left(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "mine"
    with claim(out, MINE) as folder:
        assert folder.searched() == Searched()
        folder.record_search(Searched(1.5, 5))
    with claim(out, MINE) as folder:
        assert folder.searched() == Searched(1.5, 5)
    assert json.loads(folder.mark.read_text()) == {**MINE, "budgets": []}


def test_budgets_may_be_added_and_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for budgets in (("16KB", "8KB"), ("8KB", "32KB", "16KB"), ("32KB", "16KB", "8KB")):
        with claim(out, MINE, budgets=budgets):
            pass
    before = entries(tmp_path)
    with (
        pytest.raises(InputError, match=r"may be added .*, and stay: received budgets=\['64KB'\] .* has 32KB, 16KB, 8KB too"),
        claim(out, MINE, budgets=("64KB",)),
    ):
        pass
    assert entries(tmp_path) == before


@pytest.mark.parametrize("key", MINE)
def test_another_job_is_refused_and_told_what_differs(tmp_path: Path, key: str) -> None:
    with claim(tmp_path / "out", MINE):
        pass
    before = entries(tmp_path)
    with (
        pytest.raises(InputError, match=rf"holds another one \(different: {key}\)"),
        claim(tmp_path / "out", {**MINE, key: "x"}),
    ):
        pass
    assert entries(tmp_path) == before


@pytest.mark.parametrize("error", [InputError("a"), SetupError("b"), OSError("c")])
def test_an_error_before_anything_was_trained_leaves_no_trace(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), claim(tmp_path / "runs" / "deep" / "out", MINE) as folder:
        folder.lesson.mkdir()
        raise error
    assert entries(tmp_path) == set()


def test_a_folder_that_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError), claim(tmp_path / "out", MINE):
        raise InputError("a")
    assert entries(tmp_path) == {"out"}


@pytest.mark.parametrize("kept", ["trained", "resumed", "interrupted"])
def test_what_may_be_needed_again_is_kept(tmp_path: Path, kept: str) -> None:
    if kept == "resumed":
        with claim(tmp_path / "out", MINE):
            pass
    error = KeyboardInterrupt() if kept == "interrupted" else SetupError("full")
    with pytest.raises(type(error)), claim(tmp_path / "out", MINE) as folder:
        folder.results.mkdir()
        if kept == "trained":
            (folder.results / "a.checkpoint").touch()
        raise error
    assert folder.mark.exists()


def test_a_run_that_was_killed_before_its_mark_does_not_block_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out" / ".understudy").mkdir(parents=True)
    (tmp_path / "out" / ".understudy" / ".job.json.7.part").touch()
    with claim(tmp_path / "out", MINE):
        assert entries(tmp_path / "out") == {".understudy", ".understudy/job.json", ".understudy/lock"}


def test_what_a_killed_run_was_writing_is_removed(tmp_path: Path) -> None:
    with claim(tmp_path / "out", MINE) as folder:
        folder.lesson.mkdir()
    before = entries(tmp_path)
    (folder.path / ".report.html.7.part").touch()
    (folder.lesson / ".corpus-1.7.part").mkdir()
    (folder.lesson / ".corpus-1.7.part" / "rows-0.npy").touch()
    with claim(tmp_path / "out", MINE):
        assert entries(tmp_path) == before


def test_a_second_run_waits_its_turn(tmp_path: Path) -> None:
    with claim(tmp_path / "out", MINE):
        before = entries(tmp_path)
        with pytest.raises(SetupError, match="where another run is at work"), claim(tmp_path / "out", MINE):
            pass
        assert entries(tmp_path) == before
    with claim(tmp_path / "out", MINE):
        pass


@pytest.mark.parametrize(("error", "kept"), [(TeacherError("it raised"), True), (InputError("a NaN"), False)])
def test_answers_of_a_teacher_whose_code_failed_stay(tmp_path: Path, error: Exception, kept: bool) -> None:
    out = tmp_path / "out"
    with pytest.raises(type(error)), claim(out, MINE) as folder:
        folder.teacher.mkdir()
        (folder.teacher / "answers.npz").touch()
        raise error
    assert ((out / ".understudy" / "teacher" / "answers.npz").exists(), out.exists()) == (kept, kept)
    with pytest.raises(TeacherError), claim(tmp_path / "new", MINE) as folder:
        folder.teacher.mkdir()
        raise TeacherError("the first answer failed")
    assert not (tmp_path / "new").exists()
