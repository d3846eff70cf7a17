"""Ctrl-C and ``kill -9`` in the middle of ``understudy compress``: the same command goes on, to the same files, at little cost.

Moments and cost are counted in optimizer steps, which every training process of a test writes down, never in seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command import COMMAND, Outcome
from understudy import searches
from understudy.bundle import Bundle
from understudy.job import job_from_arguments
from understudy.pipeline import run_job
from understudy.training.task import TaskResult, TrainingTask
from understudy.training.workers import Workers

STEP_COUNTER = """
import os, sys
if "understudy.training.worker" in sys.orig_argv:
    from understudy.training import loop
    advance, counted = loop._Run.advance, os.open(os.environ["COUNTED_STEPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def advance_and_count(run):
        advance(run)
        os.write(counted, b".")
    loop._Run.advance = advance_and_count
"""
"""A ``sitecustomize.py``: Python runs it at the start of every process."""

SETTINGS = """
budgets = ["8KB", "12KB"]
formats = ["c"]
trials = 2
threads = {threads}
[data]
train = '{data}'
[teacher]
source = "{teacher}"
[training]
epochs = {epochs}
augmented_views = 2
"""
LONGEST_SECONDS = 240.0
WORKERS_END_WITHIN_SECONDS = 20.0
"""They end at once; the rest is patience with a busy machine."""
MOST_EXTRA_WORK = 0.1


@dataclass
class Runner:
    """Runs one job in one folder, again and again."""

    folder: Path
    data: Path
    teacher: str = "none"
    threads: int = 2
    epochs: int = 40

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "hook").mkdir()
        (self.folder / "hook" / "sitecustomize.py").write_text(STEP_COUNTER)
        settings = {"threads": self.threads, "data": self.data, "teacher": self.teacher, "epochs": self.epochs}
        (self.folder / "job.toml").write_text(SETTINGS.format(**settings))

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def results(self) -> Path:
        return self.out / ".understudy" / "results"

    def steps(self) -> int:
        """Return the optimizer steps of all runs so far."""
        counted = self.folder / "steps"
        return counted.stat().st_size if counted.exists() else 0

    def further(self, steps: int) -> Callable[[], bool]:
        """Return the moment when that many more steps are done."""
        goal = self.steps() + steps
        return lambda: self.steps() >= goal

    def appears(self, pattern: str) -> Callable[[], bool]:
        """Return the moment when something that matches ``pattern``, seen from the state's folder, is made or replaced."""

        def found() -> set[tuple[Path, int]]:
            return {(path, path.stat().st_ino) for path in (self.out / ".understudy").glob(pattern)}

        before = found()
        return lambda: bool(found() - before)

    def finished_trainings(self) -> dict[str, int]:
        """Return each finished training and when it was written."""
        return {path.name: path.stat().st_mtime_ns for path in self.results.glob("*.trained")}

    def bundles(self) -> dict[str, bytes]:
        """Return every file of every bundle but the cards, which quote latencies."""
        found = [path for path in sorted(self.out.glob("*KB/*")) if path.name != "card.md"]
        return {str(path.relative_to(self.out)): path.read_bytes() for path in found}

    def family(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.out / "family.json").read_text())
        return document

    def workers(self) -> list[str]:
        """Return the command lines of all training processes of this folder."""
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if "understudy.training.worker" in line and str(self.out) in line]

    def run(self, *options: str, when: Callable[[], bool] = lambda: False, send: signal.Signals = signal.SIGKILL) -> Outcome:
        """Run the command; at the moment ``when`` send it a signal."""
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(self.folder / "hook"),
            "COUNTED_STEPS": str(self.folder / "steps"),
        }
        command = [*COMMAND, "compress", "job.toml", "--out", str(self.out), *options]
        begin = time.monotonic()
        with (self.folder / "stdout").open("w+") as out, (self.folder / "stderr").open("w+") as err:
            with subprocess.Popen(command, cwd=self.folder, env=environment, stdout=out, stderr=err) as process:
                while process.poll() is None and not when():
                    assert time.monotonic() - begin < LONGEST_SECONDS, "the moment never came"
                    time.sleep(0.005)
                process.send_signal(send)
                process.wait(LONGEST_SECONDS)
            out.seek(0)
            err.seek(0)
            return Outcome(process.returncode, out.read(), err.read())

    def kill(self, when: Callable[[], bool]) -> None:
        """Run until the moment ``when``, then kill -9; the training processes must follow."""
        outcome = self.run(when=when)
        assert outcome.exit_code == -signal.SIGKILL, outcome.err
        self.expect_no_workers(WORKERS_END_WITHIN_SECONDS)

    def expect_no_workers(self, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while self.workers():
            assert time.monotonic() < deadline, self.workers()
            time.sleep(0.05)

    def finish(self) -> None:
        """Run to the end."""
        before = self.finished_trainings()
        outcome = self.run()
        assert outcome.exit_code == 0, outcome.err
        assert self.family()["finished"] is True
        after = self.finished_trainings()
        assert before.items() <= after.items(), "a finished training was repeated"
        litter = [path for path in self.out.rglob(".*") if path.name != ".understudy"]
        assert not litter
        assert not list(self.results.glob("*.checkpoint"))


@pytest.fixture(scope="module")
def whole(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A job that nothing interrupted."""
    runner = Runner(tmp_path_factory.mktemp("whole") / "job", tiny_csv)
    runner.finish()
    # for each budget the seeded recipe, then one more, short and whole, and at last the better one on all texts
    assert runner.steps() == 2 * (120 + 30 + 120 + 160)
    return runner


@pytest.mark.slow
def test_kill_9_at_half_way_costs_little_and_changes_nothing(whole: Runner, tiny_csv: Path, tmp_path: Path) -> None:
    runner = Runner(tmp_path / "job", tiny_csv)
    runner.kill(lambda: runner.steps() >= whole.steps() // 2)
    assert not (runner.out / "family.json").exists()
    runner.kill(runner.appears("../8KB"))
    Bundle.open(runner.out / "8KB")
    runner.finish()
    assert runner.bundles() == whole.bundles()
    assert whole.steps() <= runner.steps() <= (1 + MOST_EXTRA_WORK) * whole.steps()


@pytest.mark.slow
def test_ctrl_c_delivers_what_is_finished_and_the_next_run_goes_on(whole: Runner, tiny_csv: Path, tmp_path: Path) -> None:
    # one training after the other, so that the first budget is finished before the second begins
    runner = Runner(tmp_path / "job", tiny_csv, threads=1)
    nothing = runner.run(when=lambda: runner.steps() >= 50, send=signal.SIGINT)
    assert nothing.exit_code == 130
    assert nothing.err.splitlines()[-1].startswith("error: interrupted; what was finished is kept, run the same command again")
    assert "Traceback" not in nothing.err
    assert runner.workers() == []
    assert {path.name for path in runner.out.iterdir()} == {".understudy"}

    first = runner.run("--json", when=lambda: runner.steps() >= 150, send=signal.SIGINT)
    assert first.exit_code == 130
    assert first.err == ""
    family = json.loads(first.out)["family"]
    assert family["finished"] is False
    assert [member["budget"] for member in family["members"]] == ["8KB"]
    assert family == runner.family()
    assert (runner.out / "report.html").exists()
    Bundle.open(runner.out / "8KB")
    assert runner.workers() == []

    runner.finish()
    assert runner.bundles() == whole.bundles()
    assert runner.steps() <= (1 + MOST_EXTRA_WORK) * whole.steps()


@pytest.mark.slow
def test_a_time_that_is_used_up_loses_no_finished_trial(
    tiny_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    run = Workers.run

    def run_and_wait(self: Workers, tasks: list[TrainingTask], **options: Any) -> list[TaskResult]:
        clock[0] += 100
        return run(self, tasks, **options)

    monkeypatch.setattr(Workers, "run", run_and_wait)
    monkeypatch.setattr(searches, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    settings = {"formats": ("c",), "teacher": "none", "training.epochs": 4}

    def trials(**more: Any) -> tuple[list[int], dict[str, bytes]]:
        family = run_job(job_from_arguments(tiny_csv, budgets=("8KB",), **settings, **more), out=tmp_path / "out")
        bundle = {path.name: path.read_bytes() for path in (tmp_path / "out" / "8KB").iterdir() if path.name != "card.md"}
        return [trial.number for trial in family.members[0].trials], bundle

    # the seeded recipe, then a bracket of eight: short trainings, and longer ones of the best
    first = trials(time="250s")
    assert sorted(first[0]) == list(range(9))
    assert trials(time="250s") == first
    # more of the same job goes on in the same folder
    results = set((tmp_path / "out" / ".understudy" / "results").iterdir())
    assert sorted(trials(time="1000s")[0]) == list(range(17))
    assert results < set((tmp_path / "out" / ".understudy" / "results").iterdir())


FILES_BEFORE_TRAINING = ("job.json", "lesson/labels.npy", "lesson/corpus-*")
FILES_AFTER_TRAINING = ("../8KB", "../12KB", "../family.json")


@pytest.mark.slow
@pytest.mark.parametrize("teacher", ["none", "auto"])
def test_many_interruptions_at_random_moments(tiny_csv: Path, tmp_path: Path, seed: int, teacher: str) -> None:
    """Ctrl-C or kill -9, as chance will have it, when a file appears or after a random number of further steps."""
    whole = Runner(tmp_path / "whole", tiny_csv, teacher=teacher)
    whole.finish()
    runner = Runner(tmp_path / "job", tiny_csv, teacher=teacher)
    chance = random.Random(seed)
    stops = 0

    def stop(when: Callable[[], bool]) -> None:
        nonlocal stops
        send = chance.choice((signal.SIGKILL, signal.SIGINT))
        outcome = runner.run(when=when, send=send)
        runner.expect_no_workers(WORKERS_END_WITHIN_SECONDS if send == signal.SIGKILL else 0)
        assert outcome.exit_code in (0, -signal.SIGKILL if send == signal.SIGKILL else 130), outcome.err
        assert "Traceback" not in outcome.err
        stops += outcome.exit_code != 0

    for pattern in FILES_BEFORE_TRAINING:
        stop(runner.appears(pattern))
    while runner.steps() < whole.steps() - 20:
        stop(runner.further(chance.randint(1, whole.steps() // 6)))
    for pattern in FILES_AFTER_TRAINING:
        stop(runner.appears(pattern))
    assert stops >= 10
    runner.finish()
    assert runner.bundles() == whole.bundles()
    # an interruption costs what the two trainings at work did since their last checkpoints
    assert whole.steps() <= runner.steps() <= whole.steps() + stops * 2 * (120 // 20)
