"""What is particular to LiteRT files in float: no steps behind the source, plain kernels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from floats import check_random_program
from image_programs import image_program, pictures
from programs import sequence_program
from understudy.errors import InputError
from understudy.export.litert_float import LitertFloatExporter
from understudy.job import job_from_arguments
from understudy.program.ops import Program
from understudy.program.real import real_probabilities
from understudy.testing.image_programs import box_program, branched_program, gated_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import vector_program

EXPORTER = LitertFloatExporter()


def content_of(program: Program) -> bytes:
    return EXPORTER.export(program, name="x")["model_float.tflite"]


@settings(max_examples=24)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(EXPORTER, seed, tmp_path_factory.mktemp("float"))


@pytest.mark.parametrize(
    ("program", "kinds"),
    [
        (sequence_program(bits=4), {"INT4", "INT8"}),  # the hash
        (image_program(), {"UINT8"}),
        (gated_program(), {"UINT8"}),
        (vector_program(), {"BOOL", "INT8"}),
        (token_program(), {"UINT8"}),
    ],
)
def test_tensors_are_float_behind_the_source(program: Program, kinds: set[str]) -> None:
    model = schema.ModelT.InitFromPackedBuf(content_of(program), 0)
    assert all(code.customCode is None for code in model.operatorCodes)
    names = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    assert {names[tensor.type] for tensor in model.subgraphs[0].tensors} - {"BOOL", "FLOAT32", "INT32"} == kinds - {"BOOL"}


@pytest.mark.parametrize("program", [image_program(), branched_program(), gated_program()], ids=["plain", "branched", "gated"])
def test_plain_kernels_answer_the_same(program: Program) -> None:
    interpreter = Interpreter(
        model_content=content_of(program), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    [source], [target] = interpreter.get_input_details(), interpreter.get_output_details()
    images = pictures(program, 20)
    for image, expected in zip(images, real_probabilities(program, images), strict=True):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(target["index"])[0], expected, atol=2e-6)


def test_the_byte_table_charges_four_bytes_a_weight() -> None:
    program = image_program()
    rows = dict(EXPORTER.byte_table(program, name="x"))
    for layer in program.layers:
        assert layer.bias is not None
        assert 0 <= rows[layer.output] - 4 * (layer.weight.size + layer.bias.size) <= 16


def test_what_it_cannot_hold_is_refused() -> None:
    for program, said in (
        (box_program(channels=6), "received tensor='signs' of 'stem'.*; ask for --format litert"),
        (scan_program(), "the litert_float format holds no Scan: received tensor='states1'; ask for onnx, c"),
    ):
        for refuse in (EXPORTER.export, EXPORTER.byte_table):
            with pytest.raises(InputError, match=said) as caught:
                refuse(program, name="x")
            assert "\n" not in str(caught.value)
    for student in ("projection_cnn", "projection_rnn"):
        with pytest.raises(InputError, match=f"received format='litert_float' for student='{student}'; ask for "):
            job_from_arguments("data", budgets=("16KB",), formats=("c", "litert_float"), student=student)


def test_another_files_answers_are_found(tmp_path: Path) -> None:
    other = content_of(sequence_program(seed=1))
    bundle = make_bundle(tmp_path / "b", formats=("litert_float",))
    (tmp_path / "b" / "model_float.tflite").write_bytes(other)
    found = bundle.verify("litert_float")
    assert not found.verified
    assert found.reason is not None
    assert "more than 0.0001" in found.reason
