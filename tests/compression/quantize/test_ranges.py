"""Range estimators: what each of them promises, on any values."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.ranges import RangeEstimator, Ranges, estimate_scales
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

ESTIMATORS = get_args(RangeEstimator)


def _error(rows: np.ndarray, scale: np.ndarray, low: int, high: int) -> np.ndarray:
    steps = np.clip(np.rint(rows / scale[:, None]), low, high)
    return ((steps * scale[:, None] - rows) ** 2).sum(axis=1)


@given(arrays(np.float32, (3, 40), elements=st.floats(-100, 100, width=32)), st.sampled_from([7, 127]))
def test_min_max_cuts_nothing_and_mse_loses_least(rows: np.ndarray, high: int) -> None:
    scales = {name: estimate_scales(rows, low=-high, high=high, estimator=name) for name in ESTIMATORS}
    largest = np.abs(rows).max(axis=1)
    assert all((scale > 0).all() and np.isfinite(scale).all() for scale in scales.values())
    assert (scales["min-max"] * high >= largest * (1 - 1e-6)).all()
    assert (scales["percentile"] <= scales["min-max"] * (1 + 1e-6)).all()
    mse, whole = (_error(rows.astype(np.float64), scales[name], -high, high) for name in ("mse", "min-max"))
    assert (mse <= whole * (1 + 1e-4) + 1e-9).all()


def test_an_outlier_rules_min_max_alone() -> None:
    rng = np.random.default_rng(0)
    rows = np.abs(rng.normal(size=(1, 20_000))).astype(np.float32)
    rows[0, 0] = 20
    scale = {name: float(estimate_scales(rows, low=0, high=7, estimator=name)[0]) for name in ESTIMATORS}
    assert scale["min-max"] == pytest.approx(20 / 7)
    assert scale["percentile"] * 7 < 5
    assert scale["mse"] * 7 < 10


def test_a_layer_that_died_keeps_steps_that_kernels_take() -> None:
    program: Program = build_student(Recipe(features=32, width=8, hidden=8, weight_bits=4), classes=3, seed=0)
    first = next(layer for layer in program.layers if layer.output == "tokens")
    dead = replace(first, weight=first.weight * 0)
    program = replace(program, nodes=tuple(dead if node is first else node for node in program.nodes))
    assert calibrate(program, [torch.ones(4, 32, 32)]).activations["tokens"] == pytest.approx(1 / 255)


def test_calibration_takes_the_estimators_that_it_is_given() -> None:
    program: Program = build_student(Recipe(features=32, width=8, hidden=8, weight_bits=4), classes=3, seed=0)
    features = torch.sign(torch.randn(50, 32, 32, generator=torch.Generator().manual_seed(0)))
    schemes = {name: calibrate(program, [features], ranges=Ranges(name, name)) for name in ESTIMATORS}
    for group in ("tokens", "total"):
        found = {name: scheme.activations[group] for name, scheme in schemes.items()}
        assert found["percentile"] < found["min-max"]
        assert found["mse"] <= found["min-max"]
    for layer in program.layers:
        assert schemes["min-max"].weights[layer.output] == pytest.approx(np.abs(layer.weight).max() / 7)
        assert len({float(scheme.weights[layer.output][0]) for scheme in schemes.values()}) == 3
    default = calibrate(program, [features])
    assert default.activations == schemes["min-max"].activations
    assert all(np.array_equal(default.weights[name], schemes["mse"].weights[name]) for name in default.weights)


def test_a_sample_of_many_values_is_taken_from_every_channel() -> None:
    program = build_student(Recipe(student="separable_cnn", width=8, hidden=8, image_shape=(64, 64, 1)), classes=3, seed=0)
    stem = program.layers[0]
    bias = np.linspace(1, 8, 8, dtype=np.float32)  # each channel has a value of its own
    quiet = replace(stem, weight=np.zeros_like(stem.weight), bias=bias)
    program = replace(program, nodes=tuple(quiet if node is stem else node for node in program.nodes))
    scheme = calibrate(program, [torch.zeros(40, 64, 64, 1)], ranges=Ranges("mse", "percentile"))
    assert scheme.activations["stem"] * 255 == pytest.approx(8, rel=1e-5)
