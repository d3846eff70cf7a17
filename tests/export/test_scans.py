"""Recurrences in files: every format that holds them to the bit, also at the ends of the range; the others refuse them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from understudy.errors import BundleError, InputError
from understudy.export.c_sealed import sealed_model
from understudy.export.c_session import c_compiler
from understudy.export.onnx import OnnxExporter
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.program.interpreter import run, tensors
from understudy.testing import SCAN_CASES, Case
from understudy.testing.formats import opened
from understudy.testing.scan_programs import scan_program
from understudy.testing.vector_programs import measurements
from wasm_tools import needs_wasm

HELD = ("onnx", "c", "python", "arduino", pytest.param("wasm", marks=needs_wasm))


@pytest.mark.parametrize("case", SCAN_CASES, ids=lambda case: case.name)
def test_states_are_spread_over_their_range(case: Case) -> None:
    """Else these cases would compare constants."""
    for name, values in tensors(case.program, measurements(case.program, 200)).items():
        assert len(np.unique(values)) > (1 if name == "features" else 20), name


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("format_name", ["onnx", "c", "python"])
def test_random_recurrences_are_equal_to_the_bit(format_name: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    units = tuple(int(count) for count in rng.integers(1, 20, rng.integers(1, 4)))
    shape = (int(rng.integers(1, 70)), int(rng.integers(1, 14)))
    program = scan_program(shape=shape, units=units, bits=(4, 8)[seed % 2], per_channel=seed % 3 == 0, seed=seed)
    result = verify_file(program, opened(exporter(format_name), program, tmp_path), measurements(program, 100, seed))
    assert (result.agreement, result.reason) == (1.0, None)
    assert result.max_probability_difference < 1e-6


@pytest.mark.parametrize("format_name", HELD)
def test_bytes_follow_from_shapes(format_name: str) -> None:
    tables = [exporter(format_name).byte_table(scan_program(seed=seed), name="demo") for seed in (0, 1)]
    assert tables[0] == tables[1]
    if format_name == "c":
        assert dict(tables[0])["code: scan"] > 0
        assert {where for where, _ in tables[0]} >= {"scan states1", "scan states2"}


@pytest.mark.parametrize("format_name", ["litert", "coreml", "executorch", "executorch_xnnpack"])
def test_formats_without_a_loop_refuse_them_by_name(format_name: str) -> None:
    with pytest.raises(InputError) as caught:
        exporter(format_name).export(scan_program(), name="demo")
    said = (
        f"the {format_name} format holds no Scan: received tensor='states1'; "
        "ask for onnx, c, python, wasm, arduino, onnx_float, c_float, python_float, wasm_float or arduino_float"
    )
    assert str(caught.value) == said


def test_the_onnx_file_has_default_operators_and_one_loop_for_each_recurrence() -> None:
    model = onnx.load_model_from_string(OnnxExporter().export(scan_program(), name="demo")["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node].count("Scan") == 2


@pytest.mark.parametrize("hidden", ["tensor", "graph", "domain", "other"])
def test_a_loop_that_hides_something_is_refused(hidden: str, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(OnnxExporter().export(scan_program(), name="demo")["model.onnx"])
    [loop, *_] = [node for node in model.graph.node if node.op_type == "Scan"]
    [body] = [attribute.g for attribute in loop.attribute if attribute.name == "body"]
    if hidden == "tensor":
        body.initializer.add(name="t", data_type=onnx.TensorProto.FLOAT, dims=[1], raw_data=bytes(4))
    elif hidden == "graph":
        body.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "g"
    elif hidden == "domain":
        body.node[0].domain = "com.microsoft"
    else:
        loop.op_type = "Loop"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="an ONNX model must be complete and use default operators"):
        OnnxExporter().open(tmp_path, name="demo")


def test_an_encrypted_model_computes_it_too(tmp_path: Path) -> None:
    model = sealed_model(scan_program(), name="demo", labels=[str(i) for i in range(7)], digest=bytes(32))
    for name, content in model.files.items():
        (tmp_path / name).write_bytes(content)
    command = [*c_compiler(), "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-o", "example", "example.c"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_the_example_in_c_keeps_to_its_own_memory(tmp_path: Path) -> None:
    program = scan_program(shape=(31, 5), units=(7, 3))
    for name, content in exporter("c").export(program, name="demo").items():
        (tmp_path / name).write_bytes(content)
    strict = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-pedantic", "-Werror")
    sanitized = ("-fsanitize=address,undefined", "-fno-sanitize-recover")
    subprocess.run([*c_compiler(), "-std=c99", *strict, *sanitized, "-o", "example", "example.c"], cwd=tmp_path, check=True)
    [values] = measurements(program, 1, seed=3)
    (tmp_path / "values.bin").write_bytes(values.tobytes())
    printed = subprocess.run(["./example", "values.bin"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    scores = run(program, values[None]).probabilities[0]
    np.testing.assert_allclose([float(line.split()[1]) for line in printed.splitlines()[1:]], scores, atol=2e-6)
