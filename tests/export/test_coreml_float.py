"""What is particular to Core ML files in float: no steps behind the source, a package of its own name, and what is refused."""

from __future__ import annotations

import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from floats import check_random_program, curved_program
from image_programs import image_program
from programs import sequence_program
from understudy.errors import BundleError, InputError
from understudy.export import coreml
from understudy.export.coreml import NOT_RUN, CoremlExporter
from understudy.export.coreml_evaluation import CoremlEvaluation
from understudy.export.coreml_float import CoremlFloatExporter
from understudy.export.coreml_messages import Model
from understudy.export.coreml_package import pack, unpack
from understudy.export.parity import verify_file
from understudy.job import job_from_arguments
from understudy.program.curves import FUNCTIONS
from understudy.program.ops import Program
from understudy.program.real import real_bounds, real_probabilities
from understudy.testing.formats import examples, opened
from understudy.testing.image_programs import box_program, gated_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import vector_program

EXPORTER = CoremlFloatExporter()
FOLDER = "model_float.mlpackage"


def content_of(program: Program) -> bytes:
    return EXPORTER.export(program, name="x")["model_float.mlpackage.zip"]


def model_of(program: Program) -> Any:
    model = Model.Model()
    model.ParseFromString(unpack(content_of(program), folder=FOLDER)[0])
    return model


def operations_of(model: Any) -> Any:
    return model.mlProgram.functions["main"].block_specializations["CoreML6"].operations


@settings(max_examples=24)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(EXPORTER, seed, tmp_path_factory.mktemp("float"))


@pytest.mark.parametrize("word", FUNCTIONS)
def test_every_word_of_a_curve_is_held(word: str, tmp_path: Path) -> None:
    program = curved_program(word)
    found = verify_file(program, opened(EXPORTER, program, tmp_path), examples(program))
    assert (found.verified, found.reason) == (True, None)
    assert found.max_probability_difference < 2e-6


@pytest.mark.parametrize(
    ("program", "rounds"),
    [(sequence_program(bits=4), True), (image_program(), False), (gated_program(), False), (vector_program(), True)],
    ids=["text", "image", "gated", "vector"],
)
def test_nothing_is_rounded_behind_the_source(program: Program, rounds: bool) -> None:
    """A hash and standardized numbers are rounded; behind them every layer's sums are clipped alone."""
    operations = operations_of(model_of(program))
    kinds = [operation.type for operation in operations]
    assert ("round" in kinds) is rounds
    begin = len(kinds) - kinds[::-1].index("round") if rounds else 0
    assert {"constexpr_affine_dequantize", "constexpr_lut_to_dense", "gather"}.isdisjoint(kinds[begin:])
    clips = {tuple(_number(each, name) for name in ("alpha", "beta")) for each in operations[begin:] if each.type == "clip"}
    for layer in program.layers:
        bounds = real_bounds(program.quantization[layer.output], relu=layer.relu)
        assert tuple(float(np.float32(bound)) for bound in bounds) in clips


def _number(operation: Any, parameter: str) -> float:
    [found] = operation.inputs[parameter].arguments[0].value.immediateValue.tensor.floats.values
    return float(found)


def test_the_byte_table_charges_four_bytes_a_weight() -> None:
    program = image_program()
    rows = dict(EXPORTER.byte_table(program, name="x"))
    for layer in program.layers:
        assert layer.bias is not None
        assert rows[layer.output] == 4 * (layer.weight.size + layer.bias.size)


def test_equal_layers_are_stored_twice() -> None:
    """The length follows from shapes alone, also where layers have the same numbers."""
    program = image_program()
    same = Program(
        tuple(replace(node, bias=np.zeros_like(node.bias)) if node in program.layers else node for node in program.nodes),
        program.quantization,
    )
    assert len(content_of(program)) == len(content_of(same))


def test_both_packages_fit_in_one_folder(tmp_path: Path) -> None:
    program = image_program()
    for exporter in (EXPORTER, CoremlExporter()):
        (tmp_path / "package.zip").write_bytes(exporter.export(program, name="x")[exporter.filename])
        with zipfile.ZipFile(tmp_path / "package.zip") as archive:
            archive.extractall(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {FOLDER, "model.mlpackage"}
    assert all((tmp_path / folder / "Manifest.json").is_file() for folder in (FOLDER, "model.mlpackage"))


@pytest.mark.parametrize("harm", ["operator", "gelu", "integers"])
def test_what_it_does_not_know_is_refused(harm: str, tmp_path: Path) -> None:
    program = curved_program("gelu")
    model, weights = model_of(program), unpack(content_of(program), folder=FOLDER)[1]
    [gelu] = [operation for operation in operations_of(model) if operation.type == "gelu"]
    folder = FOLDER
    if harm == "operator":
        gelu.type = "gelu_of_another_kind"
    elif harm == "gelu":
        gelu.inputs["mode"].arguments[0].value.immediateValue.tensor.strings.values[0] = "TANH_APPROXIMATION"
    else:
        folder = "model.mlpackage"
    (tmp_path / EXPORTER.filename).write_bytes(pack(model.SerializeToString(), weights, folder=folder))
    with pytest.raises(BundleError, match="complete and use known operators: received path=") as caught:
        EXPORTER.open(tmp_path, name="x")
    assert "\n" not in str(caught.value)


def test_what_it_cannot_hold_is_refused() -> None:
    for program, said in (
        (box_program(channels=6), "received tensor='signs' of 'stem'.*; ask for --format coreml"),
        (scan_program(), "the coreml_float format holds no Scan: received tensor='states1'; ask for onnx, c"),
        (token_program(), "the coreml_float format holds no float islands: received a float island, "),
    ):
        for refuse in (EXPORTER.export, EXPORTER.byte_table):
            with pytest.raises(InputError, match=said) as caught:
                refuse(program, name="x")
            assert "\n" not in str(caught.value)
    for student in ("projection_cnn", "projection_rnn"):
        with pytest.raises(InputError, match=f"received format='coreml_float' for student='{student}'; ask for "):
            job_from_arguments("data", budgets=("16KB",), formats=("c", "coreml_float"), student=student)


def test_a_bundle_says_that_it_was_evaluated_and_finds_another_files_answers(tmp_path: Path) -> None:
    found = make_bundle(tmp_path / "a", formats=("coreml_float",)).verify("coreml_float")
    assert (found.verified, found.reason, found.agreement) == (False, NOT_RUN, 1.0)
    bundle = make_bundle(tmp_path / "b", formats=("coreml_float",))
    (tmp_path / "b" / EXPORTER.filename).write_bytes(content_of(sequence_program(seed=1)))
    found = bundle.verify("coreml_float")
    assert not found.verified
    assert found.reason is not None
    assert "more than 0.0001" in found.reason


def test_where_core_ml_is_it_runs_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double stands for coremltools on macOS."""

    class MLModel:
        def __init__(self, path: str, *, compute_units: str) -> None:
            assert (Path(path).name, compute_units) == (FOLDER, "processor")
            assert (Path(path) / "Manifest.json").is_file()
            self.evaluation = CoremlEvaluation((Path(path).parent / "package.zip").read_bytes(), folder=FOLDER)

        def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"probabilities": self.evaluation.predict(given["pixels"])}

    double = types.SimpleNamespace(
        models=types.SimpleNamespace(MLModel=MLModel), ComputeUnit=types.SimpleNamespace(CPU_ONLY="processor")
    )
    monkeypatch.setitem(sys.modules, "coremltools", double)
    monkeypatch.setattr(coreml.sys, "platform", "darwin")
    program = image_program()
    session = opened(EXPORTER, program, tmp_path)
    assert not hasattr(session, "not_run")
    found = verify_file(program, session, examples(program)[:9])
    assert (found.verified, found.reason) == (True, None)
    np.testing.assert_allclose(found.probabilities, real_probabilities(program, examples(program)[:9]), atol=2e-6)
