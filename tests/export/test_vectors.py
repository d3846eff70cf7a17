"""What the interface of each file for numbers promises; ``understudy.testing`` compares the integer logits of all formats."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from understudy.export.arduino import ArduinoExporter
from understudy.export.c import CExporter
from understudy.export.c_sealed import sealed_model
from understudy.export.c_session import c_compiler
from understudy.export.onnx import OnnxExporter
from understudy.export.protocol import Session
from understudy.export.registry import exporter
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Program
from understudy.testing import VECTOR_CASES, Case
from understudy.testing.vector_programs import measurements, vector_program, window_program


def opened(format_name: str, program: Program, folder: Path) -> Session:
    found = exporter(format_name)
    for filename, content in found.export(program, name="demo").items():
        (folder / filename).write_bytes(content)
    return found.open(folder, name="demo")


@pytest.mark.parametrize("case", VECTOR_CASES, ids=lambda case: case.name)
def test_values_are_spread_over_their_range(case: Case) -> None:
    """Else the suite's cases would compare constants."""
    for name, values in tensors(case.program, measurements(case.program, 100)).items():
        assert len(np.unique(values)) > 5, name
        assert np.isin(values, (-128, 127)).mean() < 0.8, name


@pytest.mark.parametrize("format_name", ["onnx", "litert", "c", "python"])
def test_the_byte_table_adds_up_and_names_every_layer(format_name: str) -> None:
    program = window_program()
    rows = dict(exporter(format_name).byte_table(program, name="demo"))
    assert not any("projection" in where for where in rows)
    for layer in program.layers:
        assert sum(size for where, size in rows.items() if layer.output in where.split()) >= layer.weight.size
    if format_name in ("c", "python"):
        assert rows["means and deviations"] >= 8 * 3


def test_the_input_is_a_window_of_floats(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    program = window_program(shape=(29, 3))
    model = onnx.load_model_from_string(OnnxExporter().export(program, name="demo")["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    [values] = model.graph.input
    assert (values.name, values.type.tensor_type.elem_type) == ("values", onnx.TensorProto.FLOAT)
    assert [dimension.dim_value for dimension in values.type.tensor_type.shape.dim] == [1, 29, 3]
    opened("litert", program, tmp_path)
    [details] = Interpreter(model_path=str(tmp_path / "model.tflite")).get_input_details()
    assert (details["name"], details["dtype"], details["shape"].tolist()) == ("values", np.float32, [1, 29, 3])


def test_c_refuses_null_and_another_number_of_values(tmp_path: Path) -> None:
    opened("c", window_program(shape=(29, 3)), tmp_path)
    (tmp_path / "odd.c").write_text(
        '#include "model.h"\n#include <stdio.h>\n'
        "int main(void) { static float values[US_DEMO_VALUES]; float scores[US_DEMO_CLASSES];\n"
        'printf("%d %d %d %d", us_demo_predict(NULL, US_DEMO_VALUES, scores), us_demo_predict(values, US_DEMO_VALUES, NULL),\n'
        "us_demo_predict(values, US_DEMO_VALUES - 1, scores), US_DEMO_STEPS * US_DEMO_CHANNELS); return 0; }\n"
    )
    subprocess.run([*c_compiler(), "-std=c99", "-fsanitize=address,undefined", "-o", "odd", "odd.c"], cwd=tmp_path, check=True)
    found = subprocess.run(["./odd"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert found == "-1 -1 -2 87"


@pytest.mark.parametrize("program", [vector_program(), window_program()], ids=["vector", "window"])
def test_the_example_in_c_reads_a_file_and_only_what_is_its_own(program: Program, tmp_path: Path) -> None:
    values = measurements(program, 4)
    for name, content in CExporter().export(program, name="demo").items():
        (tmp_path / name).write_bytes(content)
    command = [*c_compiler(), "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-o", "example", "example.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for example, scores in zip(values, run(program, values).probabilities, strict=True):
        (tmp_path / "values.bin").write_bytes(example.tobytes())
        command = ["./example", "values.bin"]
        lines = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
        assert lines[0] == f"best {scores.argmax()}"
        np.testing.assert_allclose([float(line.split()[1]) for line in lines[1:]], scores, atol=2e-6)


def test_an_encrypted_model_compiles_and_holds_no_mean(tmp_path: Path) -> None:
    program = window_program()
    model = sealed_model(program, name="demo", labels=[str(i) for i in range(7)], digest=bytes(32))
    for name, content in model.files.items():
        (tmp_path / name).write_bytes(content)
    offset = program.nodes[0].offset  # type: ignore[union-attr]
    assert offset.tobytes() in model.image
    assert f"0x{offset[1:2].view(np.uint32)[0]:08X}".encode() not in model.files["model.h"]
    command = [*c_compiler(), "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-o", "example", "example.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_the_arduino_library_takes_numbers() -> None:
    program = vector_program()
    [content] = ArduinoExporter().export(program, name="kitchen").values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        header = archive.read("us_kitchen/src/us_kitchen.h").decode()
        sketch = archive.read("us_kitchen/examples/Classify/Classify.ino").decode()
    assert "int us_kitchen_classify(const float *values, size_t length, float *scores);" in header
    assert "#define US_KITCHEN_VALUES 13" in header
    assert "us_kitchen_classify(values, US_KITCHEN_VALUES, scores)" in sketch


def test_python_refuses_another_shape(tmp_path: Path) -> None:
    opened("python", vector_program(), tmp_path)
    code = "import model, numpy\nmodel.predict(numpy.zeros(12))"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "numbers have the shape (13,): received (12,)" in found.stderr


def test_vectors_of_another_shape_or_type_are_refused(tmp_path: Path) -> None:
    session = opened("c", vector_program(), tmp_path)
    for values in (np.zeros((1, 12), np.float32), np.zeros((1, 13), np.uint8)):
        with pytest.raises(ValueError, match="a vector is float32, 13 values: received"):
            session.predict(values)
