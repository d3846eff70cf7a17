"""``understudy study bits``: accuracy against the bits of a projection, with its picture, for images and texts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits

from command import COMMAND, understudy
from families import clinc_like_family
from image_models import onnx_image_file, pictures
from recordings import tone, write_wav
from trainings import windows_and_labels
from understudy.data.dataset import load_dataset
from understudy.data.room import TEMPORARY
from understudy.job import load_job
from understudy.neural_bits import NeuralBits
from understudy.progress import SilentProgress
from understudy.teachers.image_input import PixelRange

TINY = Path(__file__).parents[1] / "data" / "tiny.csv"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with some digits."""
    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    np.savez(folder / "digits.npz", x=np.minimum(found.images[:600] * 16, 255).astype(np.uint8), y=found.target[:600])
    (folder / "digits.toml").write_text('budgets = ["8KB"]\n[data]\ntrain = "digits.npz"\n[training]\nepochs = 15\n')
    return folder


@pytest.fixture(scope="module")
def studied(digits: Path) -> Path:
    """Return the folder of a finished study."""
    result = understudy("study", "bits", "digits.toml", "--bits", 64, "--bits", 4, "--out", "study", folder=digits)
    assert result.exit_code == 0, result.err
    assert "training 2 students" in result.err
    lines = result.out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["bits", "learned"], ["4", "50"], ["64", "650"]]
    assert "64 bits are better than all fewer" in lines[3]
    assert lines[4] == "report: study/report.html"
    return digits / "study"


def test_more_bits_are_better(studied: Path) -> None:
    study = NeuralBits.load(studied)
    assert study is not None
    few, many = study.points
    assert (few.bits, many.bits) == (4, 64)
    assert many.accuracy > few.accuracy + 0.2
    assert many.accuracy > 0.75
    assert study.finished


def test_the_picture_shows_every_point(studied: Path) -> None:
    page = (studied / "report.html").read_text()
    assert len(re.findall(r"<title>\d+ bits: [\d.]+\s%</title>", page)) == 4  # two points, in the wide and the narrow chart
    assert "neural bits (T × d)" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_same_command_trains_nothing_again(studied: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (studied / ".understudy" / "results").iterdir()}
    result = understudy(
        "study", "bits", "digits.toml", "--bits", 64, "--bits", 4, "--out", "study", "--json", folder=studied.parent
    )
    assert result.exit_code == 0, result.err
    document = json.loads(result.out)
    assert document["enough_bits"] == 64
    assert [point["bits"] for point in document["study"]["points"]] == [4, 64]
    assert {path.name: path.stat().st_mtime_ns for path in (studied / ".understudy" / "results").iterdir()} == before


def test_a_familys_report_shows_it_too(studied: Path, tmp_path: Path) -> None:
    dataset = load_dataset(load_job(studied.parent / "digits.toml"), room=TEMPORARY, progress=SilentProgress())
    family = clinc_like_family()
    family = family.model_copy(update={"data": family.data.model_copy(update={"digest": dataset.digest})})
    for member in family.members:
        (tmp_path / member.path).mkdir(parents=True)
    family.save(tmp_path)
    command = ("study", "bits", "digits.toml", "--bits", 64, "--bits", 4, "--out", "study", "--family", tmp_path)
    assert understudy(*command, folder=studied.parent).exit_code == 0
    assert "neural bits (T × d)" in (tmp_path / "report.html").read_text()
    assert understudy("report", tmp_path).exit_code == 0
    assert "neural bits (T × d)" in (tmp_path / "report.html").read_text()


def test_a_family_of_other_data_does_not_show_it(studied: Path, tmp_path: Path) -> None:
    family = clinc_like_family()
    for member in family.members:
        (tmp_path / member.path).mkdir(parents=True)
    family.save(tmp_path)
    command = ("study", "bits", "digits.toml", "--bits", 4, "--out", "other", "--family", tmp_path)
    result = understudy(*command, folder=studied.parent)
    assert result.exit_code == 2
    assert "a family that was made from the same examples, split alike: received train='digits.npz'" in result.err
    assert not (studied.parent / "other").exists()
    assert not (tmp_path / "bits.json").exists()


def test_pictures_are_brought_to_the_size_that_the_teacher_of_the_job_takes(tmp_path: Path) -> None:
    images, labels = pictures(60)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((20, 20)).save(folder / f"{number}.png")
    onnx_image_file(tmp_path / "teacher.onnx", PixelRange("0 to 1"), channels_first=False)
    (tmp_path / "job.toml").write_text(
        'budgets = ["8KB"]\n[data]\ntrain = "photos"\n[teacher]\nsource = "teacher.onnx"\n[training]\nepochs = 1\n'
    )
    result = understudy("study", "bits", "job.toml", "--bits", 8, "--out", "study", folder=tmp_path)
    assert result.exit_code == 0, result.err
    assert "pictures are brought to 8x8 and colour, as the teacher takes them" in result.err


@pytest.mark.slow
def test_texts_have_bits_too(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(f'budgets = ["8KB"]\n[data]\ntrain = {str(TINY)!r}\n[training]\nepochs = 40\n')
    result = understudy("study", "bits", "job.toml", "--bits", 8, "--bits", 128, "--out", "out", "--json", folder=tmp_path)
    assert result.exit_code == 0, result.err
    study = json.loads(result.out)["study"]
    assert study["kind"] == "texts"
    assert study["points"][1]["validation_accuracy"] >= study["points"][0]["validation_accuracy"]


@pytest.mark.slow
def test_vectors_have_bits_too(tmp_path: Path) -> None:
    found = load_breast_cancer()
    np.savez(tmp_path / "cells.npz", x=found.data.astype(np.float32), y=found.target)
    (tmp_path / "job.toml").write_text('budgets = ["8KB"]\n[data]\ntrain = "cells.npz"\n[training]\nepochs = 30\n')
    result = understudy("study", "bits", "job.toml", "--bits", 64, "--out", "out", "--json", folder=tmp_path)
    assert result.exit_code == 0, result.err
    [point] = json.loads(result.out)["study"]["points"]
    assert point["weight_count"] == 64 * 2 + 2
    assert point["accuracy"] > 0.85


@pytest.mark.slow
def test_windows_have_bits_of_each_step(tmp_path: Path) -> None:
    windows, labels = windows_and_labels(300, seed=0)
    np.savez(tmp_path / "motions.npz", x=windows, y=labels)
    (tmp_path / "job.toml").write_text('budgets = ["8KB"]\n[data]\ntrain = "motions.npz"\n[training]\nepochs = 20\n')
    result = understudy("study", "bits", "job.toml", "--bits", 16, "--out", "out", "--json", folder=tmp_path)
    assert result.exit_code == 0, result.err
    study = json.loads(result.out)["study"]
    [point] = study["points"]
    assert study["kind"] == "windows"
    assert point["accuracy"] > 0.85
    assert "two recurrences that read so many bits of each step" in (tmp_path / "out" / "report.html").read_text()


def test_bits_of_numbers_are_multiples_of_eight(tmp_path: Path) -> None:
    windows, labels = windows_and_labels(300, seed=0)
    np.savez(tmp_path / "motions.npz", x=windows, y=labels)
    result = understudy("study", "bits", "motions.npz", "--bits", 16, "--bits", 20, "--out", "never", folder=tmp_path)
    assert result.exit_code == 2
    assert "bits of numbers are multiples of 8: received bits=16, 20; give some" in result.err
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_an_interruption_keeps_what_is_finished(digits: Path) -> None:
    bits = [option for count in (4, 2000, 2001, 2002, 2003) for option in ("--bits", str(count))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "study", "bits", "digits.npz", *bits, "--out", "stopped"]
    process = subprocess.Popen(command, cwd=digits, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    results = digits / "stopped" / ".understudy" / "results"
    end = time.monotonic() + 120
    while not list(results.glob("*.trained")) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    study = NeuralBits.load(digits / "stopped")
    assert study is not None
    assert not study.finished
    assert study.points[0].bits == 4
    assert len(study.points) < 5
    assert "report: stopped/report.html" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bits", "digits.npz", "--bits", 0), "bits are numbers from 1 to 4096: received bits=0; give some"),
        (("bits", "digits.npz", "--bits", 9, "--bits", 4097), "received bits=9, 4097; give some"),
        (("bits", "cnn.toml"), "trains the student projection_net: received student='separable_cnn'"),
        (("bits", "absent.npz"), "absent.npz"),
        (("bytes", "digits.npz"), "'bytes' is not"),
        (("bits", "digits.npz", "--family", "."), "a family is a folder with family.json"),
        (("bits", "sounds"), "texts, images, numbers and sensor windows: received sounds in train='sounds'"),
    ],
)
def test_what_breaks_a_rule_is_one_line(digits: Path, arguments: tuple[object, ...], message: str) -> None:
    (digits / "cnn.toml").write_text('budgets = ["8KB"]\nstudent = "separable_cnn"\n[data]\ntrain = "digits.npz"\n')
    for number in range(12):
        path = digits / "sounds" / "ab"[number % 2] / f"{number}.wav"
        write_wav(path, tone(200 + number, seconds=0.2, rate=8000), rate=8000)
    result = understudy("study", *arguments, "--out", "never", folder=digits)
    assert result.exit_code == 2
    assert message in result.err
    assert not (digits / "never").exists()
