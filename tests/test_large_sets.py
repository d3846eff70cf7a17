"""Images and numbers that are more than memory holds: the same files as if they were few, in a bounded amount of memory."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from command import COMMAND, contents
from understudy.baselines import number_logistic_regression, pixel_logistic_regression
from understudy.data import room
from understudy.data.dataset import load_dataset
from understudy.data.room import Room
from understudy.data.vector import VectorDataset
from understudy.job import Job, job_from_arguments
from understudy.job_folder import JobFolder
from understudy.pipeline import run_job
from understudy.progress import SilentProgress
from understudy.teachers.callable import CallableTeacher
from understudy.teaching import Teaching, write_lesson

CLASSES = 4


def write_images(path: Path, *, count: int, side: int) -> None:
    """Write an NPZ of stripes whose brightness is the class, each with noise of its own."""
    random, labels = np.random.default_rng(0), np.arange(count) % CLASSES
    pixels = np.zeros((count, side, side, 3), np.uint8)
    pixels[:, ::2] = (labels * 60)[:, None, None, None]
    pixels[:, :2] = random.integers(0, 256, (count, 2, side, 3))
    np.savez_compressed(path, x=pixels, y=labels)


def write_windows(path: Path, *, count: int, side: int) -> None:
    """Write an NPZ of windows of ``side`` x ``side`` steps whose level is the class, each with noise of its own.

    Small ones are float64, which is converted; large ones float32, which is what is kept.
    """
    random, labels = np.random.default_rng(0), np.arange(count) % CLASSES
    windows = np.zeros((count, side * side, 3), np.float32)
    windows += labels[:, None, None]
    windows[:, :2] = random.normal(size=(count, 2, 3))
    np.savez_compressed(path, x=windows if side > 8 else windows.astype(np.float64), y=labels)


WRITERS = {"images": write_images, "windows": write_windows}


def let_nothing_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: 64)


def answers(examples: np.ndarray) -> np.ndarray:
    """Return logits that follow from the mean of each example."""
    return np.eye(CLASSES)[examples.reshape(len(examples), -1).mean(axis=1).astype(int) % CLASSES]


def lesson(job: Job, out: Path) -> tuple[dict[str, bytes], float]:
    """Return the files that trainings read, with the answers of a teacher, and the accuracy of the baseline."""
    data = load_dataset(job, room=Room(out))
    teacher = CallableTeacher(answers, "brightness", None, data.train.content[:4])
    if isinstance(data, VectorDataset):
        baseline = number_logistic_regression(data, seed=1)
    else:
        baseline = pixel_logistic_regression(data.train, data.validation, classes=CLASSES, seed=1)
    write_lesson(job, data, Teaching(teacher, used=True), folder=JobFolder(out), progress=SilentProgress())
    return contents(JobFolder(out).lesson), baseline.refit(data.labelled).score(data.test).accuracy


@pytest.mark.parametrize("kind", WRITERS)
def test_a_lesson_from_disk_is_the_one_from_memory(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[kind](tmp_path / "set.npz", count=300, side=8)
    monkeypatch.setattr(room, "PIECE_BYTES", 4000)
    job = job_from_arguments(tmp_path / "set.npz", budgets=("4KB",), teacher="file.py:f")
    in_memory = lesson(job, tmp_path / "memory")
    let_nothing_stay_in_memory(monkeypatch)
    assert lesson(job, tmp_path / "disk") == in_memory
    assert {"examples.npy", "teacher.npy", "validation-examples.npy"} <= set(in_memory[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_seed_gives_the_same_files_from_disk(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[kind](tmp_path / "set.npz", count=80, side=8)
    monkeypatch.setattr(room, "PIECE_BYTES", 4000)
    settings = {"training.epochs": 2, "formats": ("onnx", "c"), "threads": 1}
    job = job_from_arguments(tmp_path / "set.npz", budgets=("4KB",), **settings)
    run_job(job, out=tmp_path / "memory")
    let_nothing_stay_in_memory(monkeypatch)
    run_job(job, out=tmp_path / "disk")
    one, other = (contents(tmp_path / name / "4KB") for name in ("memory", "disk"))
    del one["card.md"], other["card.md"]  # it has measured times
    assert one == other
    assert run_job(job, out=tmp_path / "memory").finished  # what was in memory goes on from disk


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count", "side"), [("images", 12_000, 64), ("windows", 12_000, 32)])
def test_a_job_keeps_to_its_memory(kind: str, count: int, side: int, tmp_path: Path) -> None:
    """147 MB of examples, beside 500 MB that Python and its packages take: one copy in memory would already be too many."""
    WRITERS[kind](tmp_path / "set.npz", count=count, side=side)
    (tmp_path / "set.toml").write_text(
        'budgets = ["8KB"]\nformats = ["c"]\nstudent = "separable_cnn"\nmax_macs = "400k"\nthreads = 1\n'
        '[data]\ntrain = "set.npz"\n[training]\nepochs = 1\nrefit = false\n[quantization]\nmax_drop = 0.9\n'
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (600 << 20, 600 << 20))

    result = subprocess.run(
        [*COMMAND, "compress", "set.toml", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        preexec_fn=limit,
    )
    assert result.returncode == 0, result.stderr
    assert "100.0 %" in result.stdout
