"""What is particular to ONNX files in float: no steps behind the source, bytes of float32, and what is refused."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from floats import check_random_program
from image_programs import image_program
from programs import sequence_program
from understudy.errors import InputError
from understudy.export.onnx_float import OnnxFloatExporter
from understudy.job import job_from_arguments
from understudy.testing.image_programs import box_program, gated_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import vector_program

EXPORTER = OnnxFloatExporter()


def graph_of(program) -> onnx.GraphProto:
    model = onnx.load_model_from_string(EXPORTER.export(program, name="x")["model_float.onnx"])
    onnx.checker.check_model(model, full_check=True)
    return model.graph


@settings(max_examples=24)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(EXPORTER, seed, tmp_path_factory.mktemp("float"))


@pytest.mark.parametrize(
    ("program", "steps"),
    [(sequence_program(bits=4), 1), (image_program(), 0), (gated_program(), 0), (vector_program(), 1), (token_program(), 0)],
)
def test_nothing_is_rounded_behind_the_source(program, steps: int) -> None:
    graph = graph_of(program)
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QuantizeLinear") == steps
    assert kinds.count("DequantizeLinear") == 1
    assert {node.domain for node in graph.node} == {""}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    weights = [stored[node.input[1]] for node in graph.node if node.op_type == "Conv" and node.input[1] in stored]
    assert {tensor.data_type for tensor in weights} <= {onnx.TensorProto.FLOAT}


def test_the_byte_table_charges_four_bytes_a_weight() -> None:
    program = image_program()
    rows = dict(EXPORTER.byte_table(program, name="x"))
    for layer in program.layers:
        assert layer.bias is not None
        assert 0 <= rows[layer.output] - 4 * (layer.weight.size + layer.bias.size) <= 8


def test_signs_of_what_layers_compute_are_refused() -> None:
    for refuse in (EXPORTER.export, EXPORTER.byte_table):
        with pytest.raises(InputError, match="received tensor='signs' of 'stem'.*; ask for --format onnx") as caught:
            refuse(box_program(channels=6), name="x")
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="received format='onnx_float' for student='projection_cnn'; ask for onnx, or"):
        job_from_arguments("pictures", budgets=("16KB",), formats=("c", "onnx_float"), student="projection_cnn")


def test_recurrences_and_signs_of_pixels_are_held() -> None:
    for program in (scan_program(), box_program()):
        assert "Floor" not in [node.op_type for node in graph_of(program).node]


def test_another_files_answers_are_found(tmp_path: Path) -> None:
    """A float file of other weights stands in a bundle: the check that evaluate makes says so."""
    other = EXPORTER.export(sequence_program(seed=1), name="x")["model_float.onnx"]
    bundle = make_bundle(tmp_path / "b", formats=("onnx", "onnx_float"))
    (tmp_path / "b" / "model_float.onnx").write_bytes(other)
    assert bundle.verify("onnx").verified
    found = bundle.verify("onnx_float")
    assert not found.verified
    assert found.reason is not None
    assert "more than 0.0001" in found.reason
