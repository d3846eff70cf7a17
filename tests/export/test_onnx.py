"""What is particular to ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from programs import sequence_program, utterance_program
from understudy.errors import BundleError
from understudy.export.onnx import OnnxExporter
from understudy.export.text_graph import text_graph
from understudy.program.ops import Program

PROGRAMS = {
    "sequence-8": sequence_program(width=48),
    "sequence-4": sequence_program(bits=4, per_channel=False, width=48, classes=90),
    "utterance-4": utterance_program(bits=4, hidden=64),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def exported(program: Program) -> onnx.ModelProto:
    return onnx.load_model_from_string(OnnxExporter().export(program, name="x")["model.onnx"])


def test_the_checker_accepts_the_file_and_its_shapes(program: Program) -> None:
    onnx.checker.check_model(exported(program), full_check=True)


def test_only_the_default_domain_no_metadata_and_no_data_outside(program: Program) -> None:
    model = exported(program)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 21)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert not model.metadata_props
    assert not model.producer_name + model.doc_string
    assert not any(node.name or node.doc_string for node in model.graph.node)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [(value.name, value.type.tensor_type.elem_type) for value in model.graph.input] == [
        ("bytes", onnx.TensorProto.INT32)
    ]
    assert [value.name for value in model.graph.output] == ["probabilities"]


def test_no_float_constant_over_256_bytes_beside_scales(program: Program) -> None:
    model = exported(program)
    scales = {node.input[1] for node in model.graph.node if node.op_type in {"DequantizeLinear", "QuantizeLinear"}}
    floats = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.data_type == 1}
    assert len(floats) > 5
    for name, values in floats.items():
        if name not in scales and not any(name in node.input for node in model.graph.node if node.op_type == "Mul"):
            assert values.nbytes <= 256
    # scales, one for each channel at most
    assert max(values.size for values in floats.values()) <= max(len(linear.weight) for linear in program.linears)


def test_weights_are_stored_in_their_bits(program: Program) -> None:
    stored = {
        (t.data_type, onnx.numpy_helper.to_array(t).astype(np.int8).tobytes()) for t in exported(program).graph.initializer
    }
    for linear in program.linears:
        width = 3 if linear.output == "context" else 1
        kernel = linear.weight.reshape(len(linear.weight), width, -1).transpose(0, 2, 1)
        kind = onnx.TensorProto.INT4 if linear.bits == 4 else onnx.TensorProto.INT8
        assert (kind, np.ascontiguousarray(kernel).tobytes()) in stored


def test_hash_coefficients_are_stored_in_four_bits(program: Program) -> None:
    kinds = {t.data_type for t in exported(program).graph.initializer if len(t.raw_data) > 256}
    assert kinds <= {onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.INT8, onnx.TensorProto.INT32}
    graph = text_graph(program.projection)
    largest = max(group.level_two.size for group in graph.groups)
    assert any(
        t.data_type == onnx.TensorProto.UINT4 and len(t.raw_data) == -(-largest // 2)
        for t in exported(program).graph.initializer
    )


@pytest.mark.parametrize("harm", ["external", "domain", "function"])
def test_files_that_reach_outside_are_refused(harm: str, tmp_path: Path) -> None:
    model = exported(PROGRAMS["sequence-8"])
    if harm == "external":
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    elif harm == "domain":
        model.graph.node[3].domain = "com.microsoft"
    else:
        model.functions.add(name="f", domain="d")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="default operators"):
        OnnxExporter().open(tmp_path, name="x")
