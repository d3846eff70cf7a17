"""What the interface of each file for images promises; ``understudy.testing`` compares the integer logits of all formats."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from image_programs import box_program, image_program, pictures
from understudy.compression.quantize.integer import to_integer
from understudy.errors import InputError
from understudy.export.c import CExporter
from understudy.export.c_boxes import BOXES_BYTES
from understudy.export.c_session import c_compiler
from understudy.export.onnx import OnnxExporter
from understudy.export.parity import measure_latency
from understudy.export.protocol import Session
from understudy.export.registry import exporter
from understudy.program.executor import Scheme
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Program, ProjectBoxes
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.testing import IMAGE_CASES, Case


def opened(format_name: str, program: Program, folder: Path) -> Session:
    found = exporter(format_name)
    for filename, content in found.export(program, name="demo").items():
        (folder / filename).write_bytes(content)
    return found.open(folder, name="demo")


@pytest.mark.parametrize("case", IMAGE_CASES, ids=lambda case: case.name)
def test_values_are_spread_over_their_range(case: Case) -> None:
    """Else the suite's cases would compare constants."""
    signs = {node.output for node in case.program.nodes if isinstance(node, ProjectBoxes)}
    for name, values in tensors(case.program, pictures(case.program, 100)).items():
        if name in signs:
            assert abs(values.mean()) < 0.5
            continue
        assert len(np.unique(values)) > 15, name
        assert np.isin(values, (-128, 127)).mean() < 0.8, name


@pytest.mark.parametrize("format_name", ["onnx", "litert", "c", "python"])
def test_the_byte_table_adds_up_and_names_every_layer(format_name: str) -> None:
    program = image_program()
    rows = dict(exporter(format_name).byte_table(program, name="demo"))
    assert not any("projection" in where for where in rows)
    for layer in program.layers:
        assert sum(size for where, size in rows.items() if layer.output in where.split()) >= layer.weight.size
    if format_name != "c":
        files = exporter(format_name).export(program, name="demo")
        assert sum(rows.values()) == len(next(iter(files.values())))


def test_the_input_is_an_image_of_bytes() -> None:
    program = image_program()
    model = onnx.load_model_from_string(OnnxExporter().export(program, name="demo")["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    [pixels] = model.graph.input
    assert pixels.name == "pixels"
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dimension.dim_value for dimension in pixels.type.tensor_type.shape.dim] == [1, 13, 10, 3]


def test_litert_takes_bytes_too(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    opened("litert", image_program(), tmp_path)
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    [details] = interpreter.get_input_details()
    assert (details["name"], details["dtype"], details["shape"].tolist()) == ("pixels", np.uint8, [1, 13, 10, 3])


def test_c_refuses_null_and_another_number_of_pixels(tmp_path: Path) -> None:
    program = image_program()
    opened("c", program, tmp_path)
    (tmp_path / "odd.c").write_text(
        '#include "model.h"\n#include <stdio.h>\n'
        "int main(void) { static uint8_t pixels[US_DEMO_PIXELS]; float scores[US_DEMO_CLASSES];\n"
        'printf("%d %d %d %d", us_demo_predict(NULL, US_DEMO_PIXELS, scores), us_demo_predict(pixels, US_DEMO_PIXELS, NULL),\n'
        "us_demo_predict(pixels, US_DEMO_PIXELS - 1, scores), US_DEMO_HEIGHT * US_DEMO_WIDTH * US_DEMO_CHANNELS); return 0; }\n"
    )
    command = [*c_compiler(), "-std=c99", "-fsanitize=address,undefined", "-o", "odd", "odd.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = subprocess.run(["./odd"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert found == "-1 -1 -2 390"


@pytest.mark.parametrize("case", IMAGE_CASES, ids=lambda case: case.name)
def test_c_reads_and_writes_only_what_is_its_own(case: Case, tmp_path: Path) -> None:
    program = case.program
    images = pictures(program, 3)
    for filename, content in CExporter().export(program, name="demo").items():
        (tmp_path / filename).write_bytes(content)
    command = [*c_compiler(), "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-o", "example", "example.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for image, scores in zip(images, run(program, images).probabilities, strict=True):
        (tmp_path / "pixels.bin").write_bytes(image.tobytes())
        lines = subprocess.run(
            ["./example", "pixels.bin"], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        assert lines[0] == f"best {scores.argmax()}"
        assert [line.split()[0] for line in lines[1:]] == [str(i) for i in range(program.classes)]
        np.testing.assert_allclose([float(line.split()[1]) for line in lines[1:]], scores, atol=2e-6)


def test_latency_is_measured_on_whole_images(tmp_path: Path) -> None:
    program = image_program()
    found = measure_latency(opened("c", program, tmp_path), pictures(program, 3), seconds=0.01)
    assert 0 < found.p10 <= found.median <= found.p90


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an image is uint8, 390 pixels: received uint8"):
        opened("c", image_program(), tmp_path).predict(np.zeros((1, 13, 10, 1), np.uint8))


def test_images_beyond_the_integer_types_are_refused() -> None:
    program = image_program(shape=(600, 600, 1), stride=1)
    with pytest.raises(InputError, match="places of an image in the C format is at most 65535: received .*=360000"):
        CExporter().export(program, name="demo")


@pytest.mark.parametrize(("shape", "most"), [((8, 8, 1), 6), ((28, 28, 1), 6), ((32, 32, 3), 6), ((64, 64, 3), 8)])
def test_256_signs_take_at_most_2_kb_in_graph_formats_and_two_bytes_each_in_c(shape: tuple[int, int, int], most: int) -> None:
    program = box_program(shape=shape, rows=tuple(range(256)))
    stored = {
        name: dict(exporter(name).byte_table(program, name="demo"))["projection constants"] for name in ("onnx", "litert", "c")
    }
    assert stored["onnx"] == 256 * most
    assert 256 * most <= stored["litert"] <= 2048
    assert stored["c"] == 256 * 2 + BOXES_BYTES


def test_an_image_too_large_for_exact_sums_is_refused() -> None:
    program = build_student(
        Recipe(student="projection_net", image_shape=(300, 300, 1), features=8, hidden=0), classes=3, seed=0
    )
    scheme = Scheme({"logits": np.ones(1, np.float32)}, {})
    with pytest.raises(OverflowError, match=r"sums must stay below 2\*\*24: received height=300 and width=300"):
        to_integer(program, scheme, logits=np.eye(3, dtype=np.float32))
