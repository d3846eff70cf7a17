"""What is particular to ExecuTorch files in float: no steps behind the source, kernels of every curve, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from floats import check_random_program
from image_programs import image_program
from programs import sequence_program
from understudy.errors import InputError
from understudy.export.executorch_float import ExecutorchFloatExporter
from understudy.export.parity import verify_file
from understudy.job import job_from_arguments
from understudy.program.ops import Conv, DepthwiseConv, Linear, Node, Program, Quantization, Softmax, Standardize
from understudy.program.pointwise import Lookup
from understudy.program.real_curves import PRIMITIVES
from understudy.testing.formats import examples, opened
from understudy.testing.image_programs import box_program, branched_program, gated_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program

EXPORTER = ExecutorchFloatExporter()


def content_of(program: Program) -> bytes:
    return EXPORTER.export(program, name="x")["model_float.pte"]


@settings(max_examples=24)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(EXPORTER, seed, tmp_path_factory.mktemp("float"))


def test_nothing_is_rounded_behind_the_source() -> None:
    for program in (image_program(), branched_program(), gated_program()):
        kernels = set(re.findall(rb"aten::(\w+)", content_of(program)))
        assert {b"convolution", b"clamp", b"_softmax"} <= kernels
        assert not kernels & {b"round", b"embedding"}


def test_every_primitive_of_curves_has_a_kernel(tmp_path: Path) -> None:
    curves = ("x gelu", "x exp log x abs add", "1 x abs 1 add div", "0.25 x sub x mul", "x sigmoid", "-1 x max 3 min", "x tanh")
    assert set(PRIMITIVES) <= {word for curve in curves for word in curve.split()}
    ones = np.ones(7, np.float32)
    scheme = {"numbers": Standardize.quantization, "logits": Quantization(0.0625, 0)}
    for curve in curves:
        nodes = (
            Standardize("given", "numbers", (7,), 0 * ones, ones),
            Lookup("numbers", "logits", curve),
            Softmax("logits", "probabilities"),
        )
        program = Program(nodes, scheme)
        found = verify_file(program, opened(EXPORTER, program, tmp_path), examples(program))
        assert found.verified, (curve, found.reason)
        assert found.max_probability_difference < 1e-6
        assert found.probabilities.std(axis=0).min() > 0.01


def test_a_weight_takes_four_bytes_whatever_it_is() -> None:
    def emptied(node: Node) -> Node:
        if not isinstance(node, Linear | Conv | DepthwiseConv):
            return node
        assert node.bias is not None
        return replace(node, weight=np.zeros_like(node.weight), bias=np.zeros_like(node.bias))

    program = image_program()
    rows = dict(EXPORTER.byte_table(program, name="x"))
    for layer in program.layers:
        assert layer.bias is not None
        assert rows[layer.output] == 4 * (layer.weight.size + layer.bias.size)
    zeros = replace(program, nodes=tuple(emptied(node) for node in program.nodes))
    assert dict(EXPORTER.byte_table(zeros, name="x")) == rows


def test_what_it_cannot_hold_is_refused() -> None:
    for program, said in (
        (box_program(channels=6), "received tensor='signs' of 'stem'.*; ask for --format executorch$"),
        (scan_program(), "the executorch_float format holds no Scan: received tensor='states1'; ask for onnx, c"),
        (token_program(), "holds no float islands: received a float island, layer norm in blocks.0.norm1; ask"),
    ):
        for refuse in (EXPORTER.export, EXPORTER.byte_table):
            with pytest.raises(InputError, match=said) as caught:
                refuse(program, name="x")
            assert "\n" not in str(caught.value)
    for student in ("projection_cnn", "projection_rnn"):
        with pytest.raises(InputError, match=f"received format='executorch_float' for student='{student}'; ask for "):
            job_from_arguments("data", budgets=("16KB",), formats=("c", "executorch_float"), student=student)


def test_another_files_answers_are_found(tmp_path: Path) -> None:
    other = content_of(sequence_program(seed=1))
    bundle = make_bundle(tmp_path / "b", formats=("executorch_float",))
    (tmp_path / "b" / "model_float.pte").write_bytes(other)
    found = bundle.verify("executorch_float")
    assert not found.verified
    assert found.reason is not None
    assert "more than 0.0001" in found.reason
