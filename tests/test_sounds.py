"""From a folder of WAV files to verified files, as users do it: the commands in processes of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from command import understudy
from recordings import tone, write_wav
from understudy.bundle import Bundle
from understudy.data.wave_file import read_sound
from understudy.errors import InputError, UnderstudyError
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.family import Family
from understudy.job import job_from_arguments
from understudy.pipeline import run_job
from understudy.progress import SilentProgress
from understudy.testing.formats import opened

JOB = """
budgets = ["10KB"]
[data]
train = "sounds"
test = "later"
[training]
epochs = 24
refit = false
"""


def record(folder: Path, *, count: int, seed: int) -> None:
    """Write ``count`` recordings of each of three classes, of different loudness, length, width and rate."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        rate, seconds = (16_000 if number % 5 == 0 else 8000), rng.uniform(0.2, 0.3)
        time = np.arange(round(rate * seconds)) / rate
        rising = np.sin(2 * np.pi * (rng.uniform(200, 600) * time + 4000 * time**2))
        made = {
            "steady": tone(rng.uniform(300, 2500), seconds=seconds, rate=rate, loudness=1),
            "rising": rising,
            "hiss": np.clip(rng.normal(0, 0.3, len(time)), -1, 1),
        }
        for label, sound in made.items():
            noisy = rng.uniform(0.1, 0.9) * sound + np.clip(rng.normal(0, 0.003, len(sound)), -0.1, 0.1)
            stereo = noisy[:, None].repeat(2, axis=1) if number % 4 == 0 else noisy
            write_wav(folder / label / f"{number}.wav", stereo, rate=rate, bits=(16, 24, 8)[number % 3])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with recordings and a finished job."""
    folder = tmp_path_factory.mktemp("sounds")
    record(folder / "sounds", count=30, seed=1)
    record(folder / "later", count=10, seed=2)
    (folder / "sounds.toml").write_text(JOB)
    result = understudy("compress", "sounds.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    assert "no teacher for sounds was brought" in result.err
    assert "8000 a second" in result.err
    assert "recordings of another rate, resampled: 24" in result.err
    return folder


def test_every_file_reads_samples_and_is_verified(finished: Path) -> None:
    family = Family.load(finished / "out")
    [member] = family.members
    assert [file.format for file in member.files] == ["onnx", "litert", "c"]
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= 10 * 1024 for file in member.files)
    assert member.accuracy > 0.85
    assert member.example == "sound"
    assert member.sound is not None
    samples = member.sound["samples"]
    assert isinstance(samples, int)
    assert member.input_bytes == 2 * samples
    assert [baseline.name for baseline in family.baselines] == ["majority class", "log-mel + logistic regression"]
    assert family.data.variations == ("moved in time", "louder or softer")
    manifest = Bundle.open(finished / "out" / "10KB").manifest
    assert manifest.task == "sound-classification"
    assert manifest.sound is not None
    assert manifest.sound.model_dump() == member.sound
    card = (finished / "out" / "10KB" / "card.md").read_text()
    assert f"It reads {samples} samples of 16 bits, 8000 a second" in card
    assert f"int16 `[1, {samples}]`" in card
    page = (finished / "out" / "report.html").read_text()
    assert f"int16 <code>[1, {samples}]</code>" in page
    assert "sound.wav" in page
    assert "test sounds" in page


@pytest.mark.slow
def test_predict_evaluate_and_bench_read_wav_files(finished: Path) -> None:
    sounds = [finished / "later" / label / "3.wav" for label in ("hiss", "rising")]
    result = understudy("predict", finished / "out" / "10KB", *sounds)
    assert result.exit_code == 0, result.err
    bundle = Bundle.open(finished / "out" / "10KB")
    assert bundle.manifest.sound is not None
    read = np.stack([read_sound(path, bundle.manifest.sound.log_mel) for path in sounds])
    expected = bundle.predict(read)
    assert result.out.split() == [word for p in expected for word in (p.label or "none", f"{p.score:.4f}")]
    result = understudy("evaluate", finished / "out" / "10KB", finished / "later")
    assert result.exit_code == 0, result.err
    assert "30 sounds" in result.out
    [member] = Family.load(finished / "out").members
    assert f"{100 * member.accuracy:.1f} %" in result.out
    result = understudy("bench", finished / "out" / "10KB", "--format", "c", "--test", finished / "later")
    assert result.exit_code == 0, result.err
    assert "30 examples: later" in result.out


def test_another_format_is_added_and_measured_on_the_test_recordings(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    result = understudy("export", "out/10KB", "--to", "python", folder=tmp_path / "copy")
    assert result.exit_code == 0, result.err
    assert "not measured" not in result.err
    program = Bundle.open(finished / "out" / "10KB").program()
    samples = np.random.default_rng(0).integers(-999, 999, (3, *program.source.input_shape)).astype(np.int16)
    for name in ("python", "litert"):
        (tmp_path / name).mkdir()
        assert verify_file(program, opened(exporter(name), program, tmp_path / name), samples).verified


def test_the_c_file_compiles_without_warnings_and_reads_raw_samples(finished: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(finished / "out" / "10KB")
    strict = ["cc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O2"]
    subprocess.run([*strict, "-o", tmp_path / "example", "example.c"], cwd=bundle.folder, check=True)
    assert bundle.manifest.sound is not None
    sound = read_sound(finished / "later" / "hiss" / "3.wav", bundle.manifest.sound.log_mel)
    (tmp_path / "samples.raw").write_bytes(sound.tobytes())
    command = [tmp_path / "example", tmp_path / "samples.raw"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    scores = bundle.load("c").scores(sound[None])[0]
    assert printed.stdout.splitlines()[0] == f"best {bundle.labels[scores.argmax()]}"
    (tmp_path / "short.raw").write_bytes(sound.tobytes()[:-2])
    assert subprocess.run([tmp_path / "example", tmp_path / "short.raw"], check=False).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "out/10KB", "sounds.toml"), "received file='sounds.toml' (no WAV file)"),
        (("demo", "out/10KB", "--out", "page"), "a page has texts or pictures so far"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(finished: Path, arguments: tuple[str, ...], said: str) -> None:
    result = understudy(*arguments, folder=finished)
    assert result.exit_code == 2
    [last] = result.err.strip().splitlines()[-1:]
    assert last.startswith("error: ")
    assert said in last
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budgets": ["1KB"]}, "the smallest reachable size is"),
        ({"teacher": "numpy:abs"}, "a teacher has one column of logits for each class of the data: received columns="),
        (
            {"teacher": "numpy:abs", "student": "pruned"},
            "a student for sounds is one of separable_cnn, projection_rnn: received student='pruned'",
        ),
        ({"training.mode": "joint"}, "received training.mode='joint' for sounds"),
        ({"student": "sgnn"}, "a student for sounds is one of separable_cnn, projection_rnn: received student='sgnn'"),
        ({"text": "x"}, "data.text is for texts"),
    ],
)
def test_a_job_that_cannot_be_done_ends_before_anything_is_made(finished: Path, settings: dict[str, object], said: str) -> None:
    arguments = {"budgets": ["10KB"], "formats": ["c"], **settings}
    with pytest.raises(UnderstudyError, match=re.escape(said)):
        run_job(job_from_arguments(finished / "later", **arguments), out=finished / "never")
    assert not (finished / "never").exists()


TEACHER = '''
import numpy as np

class_names = ["hiss", "rising", "steady"]

def answer(sounds):
    """Noise changes its sign anywhere, a tone after as many samples, a rising one after fewer and fewer."""
    assert sounds.dtype == np.int16
    rows = []
    for sound in sounds:
        turns = np.diff(np.flatnonzero(np.diff(sound > 0))) if sound.any() else np.zeros(0)
        turns = turns if len(turns) > 3 else np.ones(4)
        drift = -np.polyfit(np.linspace(0, 1, len(turns)), turns, 1)[0] / turns.mean()
        rows.append([4 * turns.std() / turns.mean() - 2, 2 * drift, 1 - drift])
    return rows

answer.class_names = class_names
'''


@pytest.mark.slow
def test_a_function_of_samples_teaches(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text(TEACHER)
    settings = {"budgets": ["10KB"], "formats": ["c"], "teacher": str(tmp_path / "big.py:answer"), "training.epochs": 6}
    notes = Notes()
    family = run_job(job_from_arguments(finished / "sounds", **settings), out=tmp_path / "out", progress=notes)
    assert family.teacher is not None
    assert family.teacher.used
    assert family.teacher.accuracy is not None
    assert family.teacher.accuracy > 0.5
    assert family.members[0].twin is not None
    [line] = [line for line in notes.lines if line.startswith("teacher: ")]
    assert "given samples int16 [N, " in line


class Notes(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def test_other_content_is_refused(finished: Path) -> None:
    bundle = Bundle.open(finished / "out" / "10KB")
    with pytest.raises(InputError, match=r"this model reads int16 sounds \[batch, \d+\]: received 1 texts"):
        bundle.predict(["text"])


def test_a_job_file_is_written_for_a_folder_of_sounds(finished: Path, tmp_path: Path) -> None:
    result = understudy("init", finished / "sounds", "--out", tmp_path / "job.toml")
    assert result.exit_code == 0, result.err
    written = (tmp_path / "job.toml").read_text()
    assert "# sample_rate = 8000" in written
    assert "frames of 32 mel bands" in written
