"""The projection network on vectors: its bits are those of the dense projection, in float, in integers and in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.program import archive
from understudy.program.executor import Executor, evaluate
from understudy.program.interpreter import Float32Array, run, tensors
from understudy.program.ops import Linear, Program, ProjectVector, Standardize
from understudy.projections.dense import project
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import VectorCorpus

RECIPE = Recipe(student="projection_net", features=32, hidden=8, weight_bits=4, input_shape=(9,), projection_seed=5)


def student(inputs: int = 9) -> tuple[Program, Float32Array]:
    """Return a float student fitted to random values, and these."""
    rng = np.random.default_rng(inputs)
    values = (rng.normal(0, 1, (200, inputs)) * 10.0 ** rng.integers(-3, 4, inputs)).astype(np.float32)
    values[3] = np.nan
    program = build_student(replace(RECIPE, input_shape=(inputs,)), classes=4, seed=1)
    source = program.source
    assert isinstance(source, Standardize)
    known = values[4:]
    fitted = replace(source, offset=known.mean(axis=0), multiplier=1 / known.std(axis=0))
    return replace(program, nodes=(fitted, *program.nodes[1:])), values


def integer(program: Program, values: Float32Array) -> Program:
    assert isinstance(program.source, Standardize)
    batches = list(VectorCorpus(values, program.source).batches())
    scheme = calibrate(program, batches)
    return to_integer(program, scheme, logits=evaluate(Executor(program, scheme=scheme), batches))


def test_bits_are_those_of_the_dense_projection_in_float_and_in_integers() -> None:
    program, values = student()
    node = program.nodes[1]
    assert isinstance(node, ProjectVector)
    quantized = integer(program, values)
    found = tensors(quantized, values)
    expected = project(node.projection, found["standardized"])
    assert 0.3 < expected.mean() < 0.7
    assert (expected[3] == 0).all()
    np.testing.assert_array_equal(found["features"], 255 * expected.astype(np.int16) - 128)
    real = torch.from_numpy(found["standardized"].astype(np.float32) / 32)
    np.testing.assert_array_equal(Executor(program).trace(real)["features"].numpy(), expected)


@pytest.mark.parametrize("format_name", ["onnx", "litert", "c", "python"])
@pytest.mark.parametrize("inputs", [9, 64])
def test_every_format_gives_the_integer_logits(format_name: str, inputs: int, tmp_path: Path) -> None:
    program, values = student(inputs)
    quantized = integer(program, values)
    assert len(np.unique(run(quantized, values).logits)) > 50
    found = exporter(format_name)
    for name, content in found.export(quantized, name="demo").items():
        (tmp_path / name).write_bytes(content)
    assert verify_file(quantized, found.open(tmp_path, name="demo"), values).reason is None
    shape = found.byte_table(quantized_shape(program), name="demo")
    assert sum(size for _, size in shape) == sum(size for _, size in found.byte_table(quantized, name="demo"))


def test_nothing_in_the_projection_learns() -> None:
    program, values = student()
    executor = Executor(program)
    assert "features" not in executor.weight
    assert [layer.output for layer in program.layers] == ["hidden", "logits"]
    layer = integer(program, values).nodes[1]
    assert isinstance(layer, Linear) and layer.bits == 4 and set(np.unique(layer.weight)) == {-1, 1}


def test_float_programs_are_read_back() -> None:
    program, _ = student()
    content = archive.dumps(program)
    assert archive.loads(content).nodes[1] == program.nodes[1]
    assert archive.dumps(archive.loads(content)) == content
