"""Equalization changes no answer of a float program, and makes each channel's ranges equal around its relu."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from understudy.compression.quantize.equalize import equalizable, equalized
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Conv, DepthwiseConv, Linear, Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

RECIPES = {
    "projection_sequence": Recipe(features=32, width=8, hidden=12),
    "sgnn": Recipe(student="sgnn", features=32, width=8, hidden=12),
    "separable_cnn": Recipe(student="separable_cnn", width=8, hidden=12, image_shape=(16, 16, 3)),
}


def uneven(program: Program, rng: np.random.Generator) -> Program:
    """Return ``program`` with rows of very different sizes and with biases; one channel says nothing."""

    def changed(layer: Linear | Conv | DepthwiseConv) -> Linear | Conv | DepthwiseConv:
        sizes = np.exp(rng.normal(0, 1.5, len(layer.weight))).astype(np.float32)
        sizes[0] = 0 if layer.relu else 1
        bias = None if layer.bias is None else rng.normal(size=len(sizes)).astype(np.float32)
        return replace(layer, weight=layer.weight * sizes.reshape(-1, *[1] * (layer.weight.ndim - 1)), bias=bias)

    layers = {layer.output: changed(layer) for layer in program.layers}
    return replace(program, nodes=tuple(layers.get(node.output, node) for node in program.nodes))


def features(program: Program, rng: np.random.Generator) -> torch.Tensor:
    shape = program.shapes()[program.source.output]
    return torch.from_numpy(rng.integers(-1, 2, (20, *shape)).astype(np.float32))


@pytest.mark.parametrize("student", RECIPES)
def test_the_float_function_stays(student: str, rng: np.random.Generator) -> None:
    program = uneven(build_student(RECIPES[student], classes=5, seed=1), rng)
    inputs = features(program, rng)
    before, after = (evaluate(Executor(each), [inputs]) for each in (program, equalized(program)))
    assert np.abs(before - after).max() <= 1e-4 * np.abs(before).max()
    assert [layer.output for layer in program.layers if layer.relu] == list(equalizable(program))


def test_ranges_are_equal_where_a_row_is_read_by_columns(rng: np.random.Generator) -> None:
    program = equalized(uneven(build_student(RECIPES["sgnn"], classes=5, seed=1), rng))
    first, second, last = program.linears
    for layer, reader in ((first, second), (second, last)):
        assert np.abs(layer.weight).max(axis=1)[1:] == pytest.approx(np.abs(reader.weight).max(axis=0)[1:], rel=1e-2)


def test_every_place_that_reads_a_channel_counts(rng: np.random.Generator) -> None:
    program = equalized(uneven(build_student(RECIPES["projection_sequence"], classes=5, seed=1), rng))
    tokens, context, logits = program.linears
    windows = np.abs(context.weight).max(axis=0).reshape(3, -1).max(axis=0)
    assert np.abs(tokens.weight).max(axis=1)[1:] == pytest.approx(windows[1:], rel=1e-2)
    pooled = np.abs(logits.weight).max(axis=0).reshape(2, -1).max(axis=0)
    assert np.abs(context.weight).max(axis=1)[1:] == pytest.approx(pooled[1:], rel=1e-2)


def test_a_layer_without_relu_before_another_is_left_alone() -> None:
    program = build_student(RECIPES["projection_sequence"], classes=5, seed=1)
    plain = replace(program.linears[0], relu=False)
    program = replace(program, nodes=tuple(plain if node is program.linears[0] else node for node in program.nodes))
    assert equalizable(program) == ("context",)
    assert np.array_equal(equalized(program).linears[0].weight, plain.weight)


def test_a_program_with_nothing_to_equalize_stays_as_it_is() -> None:
    program = build_student(Recipe(student="projection_net", features=32, hidden=0), classes=5, seed=1)
    assert equalizable(program) == ()
    assert np.array_equal(equalized(program).linears[0].weight, program.linears[0].weight)
