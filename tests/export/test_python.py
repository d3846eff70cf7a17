"""The Python file is a program and a module of its own, without understudy."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundles import LABELS
from image_programs import image_program, pictures
from programs import TEXTS, sequence_program, utterance_program
from understudy.errors import BundleError, InputError
from understudy.export.parity import verify_file
from understudy.export.python import PythonExporter
from understudy.export.python_float import PythonFloatExporter
from understudy.program.interpreter import run
from understudy.program.ops import Program, Quantization
from understudy.projections.text import encode

PROGRAM = sequence_program(bits=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in PythonExporter().export(PROGRAM, name="kitchen", labels=LABELS).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def python(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-B", "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def expected(texts: tuple[str | bytes, ...]) -> list[tuple[str, float]]:
    rows = run(PROGRAM, encode(texts, max_bytes=64)).probabilities
    return [(LABELS[row.argmax()], float(row.max())) for row in rows]


def test_it_is_a_command(folder: Path) -> None:
    texts = [text for text in TEXTS if isinstance(text, str) and "\n" not in text]
    lines = "".join(f"{label}\t{score:.4f}\n" for label, score in expected(tuple(texts)))
    assert python(folder, "model.py", *texts).stdout == lines
    assert python(folder, "model.py", stdin="".join(text + "\n" for text in texts)).stdout == lines


def test_it_is_a_module_that_needs_numpy_alone(folder: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
import model
print(repr(model.predict("move my meeting")))
print(model.probabilities(b"move my meeting").dtype, list(model.LABELS) == {list(LABELS)!r})
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"understudy", "torch", "scipy", "onnxruntime"}}))
"""
    predicted, kind, loaded = python(folder, "-c", code).stdout.splitlines()
    pairs = eval(predicted)  # what our own file printed
    assert [label for label, _ in pairs[:1]] == [label for label, _ in expected(("move my meeting",))]
    assert [score for _, score in pairs] == sorted((score for _, score in pairs), reverse=True)
    assert {label for label, _ in pairs} == set(LABELS)
    assert kind == "float32 True"
    assert loaded == "[]"


def test_what_is_no_text_is_refused_in_one_sentence(folder: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
import model
for given in (["a"], 5, None):
    try:
        model.predict(given)
    except TypeError as error:
        print(error)
"""
    assert python(folder, "-c", code).stdout.splitlines() == [
        f"the model reads one text, a str or UTF-8 bytes: received {kind}" for kind in ("list", "int", "NoneType")
    ]


def test_a_file_for_images_is_a_command_and_a_module(tmp_path: Path) -> None:
    program = image_program(shape=(9, 7, 1))
    (tmp_path / "model.py").write_bytes(PythonExporter().export(program, name="kitchen", labels=LABELS)["model.py"])
    images = pictures(program, 4)
    rows = run(program, images).probabilities
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "grey.npy", images[1, :, :, 0])
    lines = [f"{LABELS[row.argmax()]}\t{row.max():.4f}\n" for row in rows]
    assert python(tmp_path, "model.py", "images.npy", "grey.npy").stdout == "".join([*lines, lines[1]])
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import model, numpy
for image in numpy.load("images.npy"):
    print(repr(model.predict(image)[0][1]), model.predict(image[..., 0]) == model.predict(image), model.SHAPE)
for bad in (numpy.zeros((9, 7, 1)), numpy.zeros((7, 9), numpy.uint8)):
    try:
        model.predict(bad)
    except ValueError as error:
        print(error)
"""
    *answers, other_type, other_shape = python(tmp_path, "-c", code).stdout.splitlines()
    assert answers == [f"{float(row.max())!r} True (9, 7, 1)" for row in rows]
    assert other_type == "an image is uint8 (9, 7, 1): received float64 (9, 7, 1)"
    assert other_shape == "an image is uint8 (9, 7, 1): received uint8 (7, 9)"


def test_functions_that_a_program_does_not_call_are_left_out() -> None:
    image = PythonExporter().export(image_program(), name="x")["model.py"].decode()
    assert set(re.findall(r"^def (\w+)", image, re.MULTILINE)) == {
        "unpack", "image", "requantize", "linear", "depthwise", "places", "softmax", "probabilities", "predict", "main",
    }  # fmt: skip
    assert "import re\n" not in image
    sequence = PythonExporter().export(PROGRAM, name="x")["model.py"].decode()
    utterance = PythonExporter().export(utterance_program(), name="x")["model.py"].decode()
    assert "def window(" in sequence
    assert "def window(" not in utterance


def test_no_line_is_longer_than_an_editor_shows() -> None:
    source = PythonExporter().export(PROGRAM, name="x", labels=LABELS)["model.py"].decode()
    assert max(map(len, source.splitlines())) <= 128
    assert source.isascii() is False  # labels stand in it as people write them


def test_a_file_that_does_not_run_says_why(folder: Path) -> None:
    source = (folder / "model.py").read_text(encoding="utf-8")
    (folder / "model.py").write_text(source.replace("import re\n", "import not_a_package\n"), encoding="utf-8")
    with pytest.raises(BundleError, match="No module named 'not_a_package'"):
        PythonExporter().open(folder, name="x")


@pytest.mark.parametrize("zero_point", [-128, 3, 127])
def test_its_size_depends_on_shapes_alone(zero_point: int) -> None:
    for program in (PROGRAM, image_program()):
        scheme = {name: Quantization(value.scale * 1.1, value.zero_point) for name, value in program.quantization.items()}
        scheme[program.logits] = Quantization(0.1, zero_point)
        other = PythonExporter().byte_table(Program(program.nodes, scheme), name="x")
        assert other == PythonExporter().byte_table(program, name="x")


@pytest.mark.parametrize("exporter", [PythonExporter(), PythonFloatExporter()])
def test_tensors_may_have_numbers_for_names_as_layers_in_a_sequence_have(tmp_path: Path, exporter: PythonExporter) -> None:
    program = utterance_program()
    source, first, second, softmax = program.nodes
    names = {"features": "0", "hidden": "0.1", "logits": "1.2"}
    renamed = Program(
        (
            replace(source, output="0"),
            replace(first, input="0", output="0.1"),
            replace(second, input="0.1", output="1.2"),
            replace(softmax, input="1.2"),
        ),
        {names.get(name, name): value for name, value in program.quantization.items()},
    )
    for name, content in exporter.export(renamed, name="x").items():
        (tmp_path / name).write_bytes(content)
    inputs = encode(TEXTS, max_bytes=64)
    assert verify_file(renamed, exporter.open(tmp_path, name="x"), inputs).verified


def test_a_float_program_is_refused() -> None:
    with pytest.raises(InputError, match="quantize the program first"):
        PythonExporter().export(Program(PROGRAM.nodes), name="x")
