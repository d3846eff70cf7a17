"""Images that are more than memory holds: the same files as if they were few, in a bounded amount of memory."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from command import COMMAND, contents
from understudy.baselines import pixel_logistic_regression
from understudy.data import room
from understudy.data.image import load_image_dataset
from understudy.data.room import Room
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


def let_nothing_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory_bytes", lambda: 64)
    monkeypatch.setattr(room, "PIECE_BYTES", 4000)


def answers(images: np.ndarray) -> np.ndarray:
    """Return logits that follow from the brightness of ``images``."""
    return np.eye(CLASSES)[images.mean(axis=(1, 2, 3)).astype(int) % CLASSES]


def lesson(job: Job, out: Path) -> tuple[dict[str, bytes], float]:
    """Return the files that trainings read, with the answers of a teacher, and the accuracy of the baseline."""
    data = load_image_dataset(job.data, seed=1, room=Room(out))
    teacher = CallableTeacher(answers, "brightness", None, data.train.content[:4])
    baseline = pixel_logistic_regression(data.train, data.validation, classes=CLASSES, seed=1)
    write_lesson(job, data, Teaching(teacher, used=True), folder=JobFolder(out), progress=SilentProgress())
    return contents(JobFolder(out).lesson), baseline.refit(data.labelled).score(data.test).accuracy


def test_a_lesson_from_disk_is_the_one_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "images.npz", count=300, side=8)
    job = job_from_arguments(tmp_path / "images.npz", budgets=("4KB",), teacher="file.py:f")
    in_memory = lesson(job, tmp_path / "memory")
    let_nothing_stay_in_memory(monkeypatch)
    assert lesson(job, tmp_path / "disk") == in_memory
    assert {"examples.npy", "teacher.npy", "validation-examples.npy"} <= set(in_memory[0])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "images.npz", count=80, side=8)
    settings = {"training.epochs": 2, "formats": ("onnx", "c"), "threads": 1}
    job = job_from_arguments(tmp_path / "images.npz", budgets=("4KB",), **settings)
    run_job(job, out=tmp_path / "memory")
    let_nothing_stay_in_memory(monkeypatch)
    run_job(job, out=tmp_path / "disk")
    one, other = (contents(tmp_path / name / "4KB") for name in ("memory", "disk"))
    del one["card.md"], other["card.md"]  # it has measured times
    assert one == other
    assert run_job(job, out=tmp_path / "memory").finished  # what was in memory goes on from disk


@pytest.mark.slow
def test_a_job_keeps_to_its_memory(tmp_path: Path) -> None:
    """147 MB of pixels, beside 500 MB that Python and its packages take: one copy in memory would already be too many."""
    write_images(tmp_path / "images.npz", count=12_000, side=64)
    (tmp_path / "images.toml").write_text(
        'budgets = ["4KB"]\nformats = ["c"]\nstudent = "separable_cnn"\nmax_macs = "400k"\nthreads = 1\n'
        '[data]\ntrain = "images.npz"\n[training]\nepochs = 1\nrefit = false\n[quantization]\nmax_drop = 0.9\n'
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (600 << 20, 600 << 20))

    result = subprocess.run(
        [*COMMAND, "compress", "images.toml", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        preexec_fn=limit,
    )
    assert result.returncode == 0, result.stderr
    assert "100.0 %" in result.stdout
