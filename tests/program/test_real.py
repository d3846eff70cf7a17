"""The program in real numbers: near the integer one, exact where that is, and with curves in place of tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from image_programs import gated_program, image_program, pictures
from programs import sequence_program, utterance_program
from understudy.program.curves import FUNCTIONS, apply
from understudy.program.interpreter import INTEGERS, logits_of, run
from understudy.program.ops import Program, ProjectVector, Quantization, Softmax, Standardize
from understudy.program.real import RealNumbers, real_bounds, real_probabilities, real_products
from understudy.program.real_curves import curve_of
from understudy.projections.dense import DenseProjection
from understudy.testing.formats import examples
from understudy.testing.image_programs import branched_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import measurements, seen_program, source, vector_program, window_program

NEAR = {
    "sequence": (sequence_program(), 2),
    "utterance": (utterance_program(bits=4), 2),
    "image": (image_program(), 3),
    "branched": (branched_program(), 2),
    "gated": (gated_program(), 5),
    "vector": (vector_program(), 2),
    "window": (window_program(), 5),
    "scan": (scan_program(), 3),
    "tokens": (token_program(), 8),
}
"""Programs, and how many steps their logits are from the integer ones at most: each layer in between rounds once."""


@pytest.mark.parametrize("name", NEAR)
def test_it_is_a_few_steps_from_the_integer_program(name: str) -> None:
    program, steps = NEAR[name]
    inputs = examples(program)
    integers = run(program, inputs)
    real = logits_of(program, inputs, RealNumbers())
    off = np.abs(real - integers.logits)
    assert 0 < off.mean() < 1.2
    assert off.max() < steps
    scale = program.quantization[program.logits].scale
    exponents = np.exp((real - real.max(axis=1, keepdims=True)) * scale)
    np.testing.assert_allclose(real_probabilities(program, inputs), exponents / exponents.sum(axis=1, keepdims=True), atol=1e-6)


def test_what_rounds_nothing_is_the_same() -> None:
    """Standardized numbers seen through a layer of ones, and signs of them, begin and end with the same integers."""
    seen = seen_program()
    values = measurements(seen, 50)
    np.testing.assert_array_equal(logits_of(seen, values, RealNumbers()), logits_of(seen, values, INTEGERS))
    numbers = source(np.random.default_rng(1), (11,))
    signs = ProjectVector("standardized", "logits", DenseProjection(11, 6, 4, seed=2)).as_linear(Standardize.quantization)
    scheme = {"standardized": Standardize.quantization, "logits": ProjectVector.quantization}
    program = Program((numbers, signs, Softmax("logits", "probabilities")), scheme)
    values = measurements(program, 60)
    found = logits_of(program, values, RealNumbers())
    assert set(np.unique(np.rint(found))) == {-128, 127}
    np.testing.assert_allclose(found, run(program, values).logits, atol=1e-4)  # one sum makes 254.99998 steps


def test_tensors_end_where_their_integers_end() -> None:
    numbers, target = RealNumbers(), Quantization(0.5, 7)
    steps = np.array([-1e9, -135.2, -1.25, 0.0, 3.75, 119.9, 1e9])
    np.testing.assert_array_equal(numbers.stored(steps, target), [-128, -128, 5.75, 7, 10.75, 126.9, 127])
    np.testing.assert_array_equal(numbers.stored(steps, target, relu=True), [7, 7, 7, 7, 10.75, 126.9, 127])
    assert real_bounds(target, relu=False) == (-67.5, 60.0)
    assert real_bounds(target, relu=True) == (0.0, 60.0)


def test_weights_are_integers_times_their_scales() -> None:
    weight, scale = np.array([[1, -2, 3], [4, 5, -6]], np.int8), np.array([0.5, 0.25], np.float32)
    np.testing.assert_array_equal(real_products(weight, scale), [[0.5, -1, 1.5], [1, 1.25, -1.5]])
    np.testing.assert_array_equal(real_products(weight.T, scale, axis=1), [[0.5, 1], [-1, 1.25], [1.5, -1.5]])
    np.testing.assert_array_equal(real_products(weight, 2), 2 * weight)


@pytest.mark.parametrize("word", FUNCTIONS)
def test_every_word_of_a_curve_is_torchs(word: str) -> None:
    given = {1: "x", 2: "x 0.7", 3: "x -1.5 2"}[FUNCTIONS[word][0]]
    curve = f"{given} {word} 3 4 add sub"
    x = np.linspace(-9, 9, 401)
    np.testing.assert_allclose(curve_of(curve, x), apply(curve, torch.from_numpy(x)).numpy(), atol=1e-8)


def test_a_curve_without_its_number_is_constant() -> None:
    np.testing.assert_array_equal(curve_of("2 1 sub", np.zeros((2, 3))), np.ones((2, 3)))


def test_no_rows_give_none() -> None:
    program = image_program()
    assert real_probabilities(program, pictures(program, 2)[:0]).shape == (0, 7)
