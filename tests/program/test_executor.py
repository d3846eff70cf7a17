"""The executor computes what the interpreter computes: in float what the formulas say, fake-quantized what integers give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.programs import TEXTS

from integers import check_fake_quantization
from understudy.compression.quantize.calibrate import calibrate, weight_scale
from understudy.compression.quantize.integer import to_integer
from understudy.program import archive
from understudy.program.executor import Executor, learned_step
from understudy.program.groups import quantization_groups
from understudy.program.ops import Linear, Program
from understudy.projections.text import encode, project
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import build_corpora

LEARNED = {"projection_net": 0, "sgnn": 16, "projection_sequence": 16}
"""Students for texts and outputs of their second layer; tests/students/test_separable_cnn.py has images."""


def _float_program(student: str, *, bits: int = 8, per_channel: bool = True) -> Program:
    recipe = Recipe(
        student=student,  # type: ignore[arg-type]
        features=64,
        width=16,
        hidden=LEARNED[student],
        weight_bits=bits,  # type: ignore[arg-type]
        per_channel=per_channel,
        max_bytes=64,
        max_words=16,
    )
    return build_student(recipe, classes=5, seed=3)


@pytest.mark.parametrize("student", LEARNED)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("per_channel", [True, False])
def test_fake_quantization_is_the_integer_program(student: str, bits: int, per_channel: bool) -> None:
    program = _float_program(student, bits=bits, per_channel=per_channel)
    ids = encode(TEXTS, max_bytes=64)
    features = torch.from_numpy(project(program.projection, ids).astype(np.float32))
    # one step of the logits, plus one hidden value that float and integer round apart
    check_fake_quantization(program, ids, features, most_steps=2.5)


def test_a_batch_that_is_cut_behind_its_longest_text_gives_the_same_logits() -> None:
    program = _float_program("projection_sequence")
    texts = ["two words", "three words here", ""]
    whole = torch.from_numpy(project(program.projection, encode(texts, max_bytes=64)).astype(np.float32))
    [corpus] = build_corpora(program.projection, [texts])
    [cut] = corpus.batches()
    assert cut.shape[1] == 4 < whole.shape[1]
    executor = Executor(program).eval()
    assert torch.allclose(executor(cut), executor(whole), atol=1e-6)


def test_tensors_that_are_copied_share_a_group() -> None:
    groups = quantization_groups(_float_program("projection_sequence"))
    assert groups["windows"] == groups["tokens"]
    assert groups["largest"] == groups["total"] == groups["pooled"] == groups["context"]
    assert len({groups["tokens"], groups["context"], groups["logits"]}) == 3


def test_learned_step_rounds_and_passes_gradients() -> None:
    x = torch.tensor([-3.0, 0.26, 0.9, 9.0], requires_grad=True)
    scale = torch.tensor([0.5], requires_grad=True)
    y = learned_step(x, scale, -2, 4)
    assert y.tolist() == [-1.0, 0.5, 1.0, 2.0]
    y.sum().backward()
    assert x.grad is not None and scale.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert scale.grad.abs() > 0


@pytest.mark.parametrize("bits", [4, 8])
def test_weight_scale_loses_little_and_an_outlier_does_not_rule(bits: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 400)).astype(np.float32)
    scale = weight_scale(weight, bits=bits, per_channel=True)
    limit = 7 if bits == 4 else 127
    error = np.abs(np.clip(np.rint(weight / scale[:, None]), -limit, limit) * scale[:, None] - weight)
    assert error.mean() < (0.13 if bits == 4 else 0.01)
    assert (scale <= np.abs(weight).max(axis=1) / limit + 1e-6).all()


@pytest.mark.parametrize("per_channel", [True, False])
def test_sums_stay_where_float32_is_exact(per_channel: bool) -> None:
    program = _float_program("projection_net")
    weight = np.ones((5, 64), np.float32)
    weight[1] = 1e-12  # a dead channel
    bias = np.full(5, 3.0, np.float32)
    bias[2] = 1e6
    wide = replace(program.linears[0], weight=weight, bias=bias, per_channel=per_channel)
    program = Program(tuple(wide if isinstance(n, Linear) else n for n in program.nodes))
    integer = to_integer(program, calibrate(program, [torch.ones(1, 64)]), logits=np.ones((1, 5), np.float32))
    [layer] = integer.linears
    assert layer.bias is not None and layer.weight_scale is not None
    worst = np.abs(layer.weight.astype(np.int64)).sum(axis=1) * 128 + np.abs(layer.bias.astype(np.int64))
    assert worst.max() < 2**24
    # what a row adds up to is what it was: the weights of the third no longer matter beside its bias
    found = (layer.weight.astype(np.int64).sum(axis=1) + layer.bias) * layer.weight_scale
    assert np.allclose(found, weight.sum(axis=1) + bias, rtol=0.05 if per_channel else 0.3)


@pytest.mark.parametrize("student", LEARNED)
def test_archive_reads_back_what_it_wrote(student: str) -> None:
    program = _float_program(student)
    again = archive.loads(archive.dumps(program))
    assert archive.dumps(again) == archive.dumps(program)
    assert again.projection == program.projection
    for a, b in zip(again.linears, program.linears, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert a.relu == b.relu
