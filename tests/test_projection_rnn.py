"""``--student projection_rnn`` from windows and recordings to verified files, as users do it: commands in their own process."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from command import understudy
from recordings import tone, write_wav
from understudy.bundle import Bundle
from understudy.errors import InputError
from understudy.family import Family
from understudy.job import job_from_arguments, load_job
from understudy.program.ops import Scan

JOB = """
student = "projection_rnn"
budgets = ["5KB"]
[data]
train = "{train}"
[training]
epochs = {epochs}
refit = false
"""


def pulses(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows ``[count, 24, 3]`` with a pulse on two channels each; which channel's came first is the label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    windows = rng.normal(0, 0.2, (count, 24, 3))
    early = rng.integers(0, 20, count)
    late = early + rng.integers(1, 5, count)
    windows[np.arange(count), np.where(labels, early, late), 0] += 3
    windows[np.arange(count), np.where(labels, late, early), 1] += 3
    return windows * (1, 20, 5) + (9.81, 0, 1000), np.array(["left", "right"])[labels]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``pulses.npz`` and a finished job."""
    folder = tmp_path_factory.mktemp("recurrent")
    x_train, y_train = pulses(400, 0)
    x_test, y_test = pulses(200, 1)
    np.savez(folder / "pulses.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    (folder / "pulses.toml").write_text(JOB.format(train="pulses.npz", epochs=25))
    result = understudy("compress", "pulses.toml", "--out", "out", folder=folder)
    assert result.exit_code == 0, result.err
    return folder


def test_it_learns_order_and_every_file_is_verified(finished: Path) -> None:
    family = Family.load(finished / "out")
    [member] = family.members
    assert member.student == "projection_rnn"
    assert [file.format for file in member.files] == ["onnx", "c"]
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= 5 * 1024 for file in member.files)
    assert member.accuracy > 0.95
    assert max(baseline.accuracy for baseline in family.baselines) < member.accuracy - 0.05
    program = Bundle.open(finished / "out" / "5KB").program()
    assert sum(isinstance(node, Scan) for node in program.nodes) == 2


@pytest.mark.slow
def test_more_formats_are_exported_and_one_without_a_loop_refused(finished: Path) -> None:
    result = understudy("export", "out/5KB", "--to", "python", folder=finished)
    assert result.exit_code == 0, result.err
    result = understudy("evaluate", "out/5KB", "pulses.npz", "--json", folder=finished)
    assert result.exit_code == 0, result.err
    files = json.loads(result.out)["files"]
    assert {file["format"] for file in files} == {"onnx", "c", "python"}
    assert all(file["verified"] for file in files)
    assert len({file["accuracy"] for file in files}) == 1
    result = understudy("export", "out/5KB", "--to", "litert", folder=finished)
    assert result.exit_code == 2
    assert "the litert format holds no Scan: received tensor='states1'; ask for onnx, c, python" in result.err
    assert "Traceback" not in result.err


def test_the_example_in_c_compiles_alone_and_reads_a_window(finished: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(finished / "out" / "5KB")
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o", tmp_path / "example", "example.c"]
    subprocess.run(command, cwd=bundle.folder, check=True)
    values = pulses(1, 3)[0].astype(np.float32)
    (tmp_path / "values.bin").write_bytes(values.tobytes())
    printed = subprocess.run([tmp_path / "example", tmp_path / "values.bin"], capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines()[0] == f"best {bundle.labels[bundle.load('c').scores(values)[0].argmax()]}"


@pytest.mark.parametrize("refused", ["litert", "coreml", "executorch"])
def test_a_format_without_a_loop_ends_the_job_before_anything_is_made(refused: str) -> None:
    with pytest.raises(InputError) as caught:
        job_from_arguments("x.npz", budgets=("5KB",), student="projection_rnn", formats=("onnx", refused))
    assert str(caught.value) == (
        f"the {refused} format holds no recurrence over time: received format='{refused}' for student='projection_rnn'; "
        "ask for onnx, c, python, wasm, arduino, onnx_float, c_float, python_float, wasm_float, arduino_float, "
        "or for another student"
    )


def test_a_job_that_names_no_format_gets_those_that_hold_the_student(tmp_path: Path) -> None:
    def formats(**settings: object) -> tuple[str, ...]:
        return job_from_arguments("x.npz", budgets=("5KB",), **settings).formats

    assert formats() == ("onnx", "litert", "c")
    assert formats(student="projection_rnn") == ("onnx", "c")
    assert formats(student="projection_rnn", formats=("wasm",)) == ("wasm",)
    (tmp_path / "job.toml").write_text(JOB.format(train="x.npz", epochs=1))
    assert load_job(tmp_path / "job.toml").formats == ("onnx", "c")
    assert load_job(tmp_path / "job.toml", student="separable_cnn").formats == ("onnx", "litert", "c")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"devices": ("android-mid",)},
            "received device='android-mid' without operator='scan'; choose another student or device",
        ),
        ({"budgets": ("1KB",)}, "the smallest reachable size is"),
    ],
)
def test_what_cannot_be_done_is_said_before_training(finished: Path, settings: dict[str, object], said: str) -> None:
    command = ["compress", "pulses.npz", "--student", "projection_rnn", "--dry-run"]
    command += [word for name, values in settings.items() for value in values for word in (f"--{name[:-1]}", value)]  # type: ignore[attr-defined]
    result = understudy(*command, folder=finished)
    assert result.exit_code in (2, 3)
    assert said in result.err
    assert "Traceback" not in result.err


def test_texts_have_no_frames() -> None:
    from understudy.pipeline import run_job

    with pytest.raises(InputError, match=re.escape("a student for texts is one of projection_sequence, sgnn, projection_net")):
        run_job(job_from_arguments("tests/data/tiny.csv", budgets=("16KB",), student="projection_rnn"), out=Path("never"))


@pytest.mark.slow
def test_recordings_in_every_format_that_holds_a_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("sounds", 30), ("later", 10)):
        for number in range(count):
            time = np.arange(2400) / 8000
            made = {
                "steady": tone(rng.uniform(300, 2500), seconds=0.3, rate=8000, loudness=1),
                "rising": np.sin(2 * np.pi * (rng.uniform(200, 600) * time + 4000 * time**2)),
                "falling": np.sin(2 * np.pi * (rng.uniform(200, 600) * time[::-1] + 4000 * time[::-1] ** 2)),
            }
            for label, sound in made.items():
                write_wav(tmp_path / part / label / f"{number}.wav", rng.uniform(0.1, 0.9) * sound, rate=8000, bits=16)
    (tmp_path / "sounds.toml").write_text(JOB.format(train="sounds", epochs=40).replace("5KB", "10KB"))
    command = ("compress", "sounds.toml", "--out", "out", "--test", "later", "--format", "onnx", "--format", "c")
    result = understudy(*command, "--format", "python", folder=tmp_path)
    assert result.exit_code == 0, result.err
    [member] = Family.load(tmp_path / "out").members
    assert member.student == "projection_rnn"
    assert [file.format for file in member.files] == ["onnx", "c", "python"]
    assert all(file.verified and file.agreement == 1.0 for file in member.files)
    assert member.accuracy > 0.85
