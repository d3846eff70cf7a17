"""What the interface of each file for sounds promises; ``understudy.testing`` compares the integer logits of all formats."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from understudy.errors import InputError
from understudy.export.c import CExporter
from understudy.export.c_session import c_compiler
from understudy.export.onnx import OnnxExporter
from understudy.export.protocol import Session
from understudy.export.registry import exporter
from understudy.program.cost import input_bytes, macs
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Program
from understudy.testing import SOUND_CASES, Case
from understudy.testing.sound_programs import sound_program, sounds


def opened(format_name: str, program: Program, folder: Path) -> Session:
    found = exporter(format_name)
    for filename, content in found.export(program, name="demo").items():
        (folder / filename).write_bytes(content)
    return found.open(folder, name="demo")


@pytest.mark.parametrize("case", SOUND_CASES, ids=lambda case: case.name)
def test_values_are_spread_over_their_range(case: Case) -> None:
    """Else the suite's cases would compare constants."""
    for name, values in tensors(case.program, sounds(case.program, 60)).items():
        assert len(np.unique(values)) > 15, name
        assert np.isin(values, (-128, 127)).mean() < 0.8, name


@pytest.mark.parametrize("format_name", ["onnx", "litert", "c", "python"])
def test_the_byte_table_adds_up_and_names_the_picture(format_name: str) -> None:
    program = sound_program()
    rows = dict(exporter(format_name).byte_table(program, name="demo"))
    assert rows["log-mel"] > 256
    assert not any("projection" in where for where in rows)
    if format_name != "c":
        files = exporter(format_name).export(program, name="demo")
        assert sum(rows.values()) == len(next(iter(files.values())))


def test_graph_files_take_16_bit_samples_and_hold_no_matrix(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    program = sound_program()
    content = OnnxExporter().export(program, name="demo")["model.onnx"]
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    [samples] = model.graph.input
    assert samples.name == "samples"
    assert samples.type.tensor_type.elem_type == onnx.TensorProto.INT16
    assert [dimension.dim_value for dimension in samples.type.tensor_type.shape.dim] == [1, 1664]
    opened("litert", program, tmp_path)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    [details] = interpreter.get_input_details()
    assert (details["name"], details["dtype"], details["shape"].tolist()) == ("samples", np.int16, [1, 1664])
    assert max(len(content), (tmp_path / "model.tflite").stat().st_size) < 9000


def test_c_refuses_null_and_another_number_of_samples_and_keeps_to_its_memory(tmp_path: Path) -> None:
    program = sound_program()
    opened("c", program, tmp_path)
    (tmp_path / "odd.c").write_text(
        '#include "model.h"\n#include <stdio.h>\n'
        "int main(void) { static int16_t samples[US_DEMO_SAMPLES]; float scores[US_DEMO_CLASSES];\n"
        'printf("%d %d %d %d", us_demo_predict(NULL, US_DEMO_SAMPLES, scores),\n'
        "us_demo_predict(samples, US_DEMO_SAMPLES, NULL), us_demo_predict(samples, US_DEMO_SAMPLES - 1, scores),\n"
        "US_DEMO_SAMPLE_RATE); return 0; }\n"
    )
    strict = [*c_compiler(), "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run([*strict, "-o", "odd", "odd.c"], cwd=tmp_path, check=True)
    found = subprocess.run(["./odd"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert found == "-1 -1 -2 8000"
    subprocess.run([*strict, "-DUS_VECTOR=0", "-o", "example", "example.c"], cwd=tmp_path, check=True)
    inputs = sounds(program, 6)
    for sound, scores in zip(inputs, run(program, inputs).probabilities, strict=True):
        (tmp_path / "samples.raw").write_bytes(sound.tobytes())
        command = ["./example", "samples.raw"]
        printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        np.testing.assert_allclose([float(line.split()[1]) for line in printed.splitlines()[1:]], scores, atol=2e-6)


def test_costs_count_the_transforms_and_two_bytes_a_sample() -> None:
    program = sound_program()
    assert input_bytes(program) == 2 * 1664
    layers = sum(np.prod(program.shapes()[layer.output][:-1]) * layer.weight.size for layer in program.layers)
    assert macs(program) == layers + 12 * 256**2 // 4


def test_sounds_of_another_kind_are_refused(tmp_path: Path) -> None:
    session = opened("c", sound_program(), tmp_path)
    for wrong in (np.zeros((1, 1664), np.int32), np.zeros((1, 1663), np.int16)):
        with pytest.raises(ValueError, match="a sound is int16, 1664 samples: received int"):
            session.predict(wrong)


def test_a_picture_beyond_the_integer_types_is_refused() -> None:
    program = sound_program(samples=128 * 2100, stride=1)
    with pytest.raises(InputError, match="places of an image in the C format is at most 65535"):
        CExporter().export(program, name="demo")
