"""The noise of layers points at the layer that was made worse, and bits are worth about six decibels each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.noise import LayerNoise, layer_noise
from understudy.compression.quantize.plan import QuantizationPlan
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

RECIPE = Recipe(student="separable_cnn", width=8, hidden=16, image_shape=(12, 12, 1))
PIXELS = np.random.default_rng(0).integers(0, 256, (90, 12, 12, 1)).astype(np.uint8)


def _noise(program: Program) -> dict[str, LayerNoise]:
    features = torch.from_numpy(PIXELS.astype(np.float32) / 255)
    logits = evaluate(Executor(program), [features])
    integer = to_integer(program, calibrate(program, [features]), logits=logits)
    return {noise.layer: noise for noise in layer_noise(program, integer, PIXELS)}


def _decibels(noise: LayerNoise) -> tuple[float, float]:
    assert noise.output_db is not None and noise.alone_db is not None
    return noise.output_db, noise.alone_db


def test_every_layer_has_its_noise_and_noise_adds_up() -> None:
    program = build_student(RECIPE, classes=5, seed=1)
    found = _noise(program)
    assert list(found) == [layer.output for layer in program.layers]
    assert all(20 < value < 70 for noise in found.values() for value in _decibels(noise))
    assert _decibels(found["stem"])[0] > _decibels(found["mixed3"])[0]


def test_the_layer_with_four_bits_is_the_one_to_blame() -> None:
    program = build_student(RECIPE, classes=5, seed=1)
    four = replace(program, nodes=tuple(replace(n, bits=4) if n.output == "mixed2" else n for n in program.nodes))  # type: ignore[call-arg]
    before, after = _noise(program), _noise(four)
    assert min(after, key=lambda layer: _decibels(after[layer])[1]) == "mixed2"
    assert _decibels(before["mixed2"])[1] - _decibels(after["mixed2"])[1] > 10
    assert _decibels(before["spread1"]) == _decibels(after["spread1"])  # what comes earlier does not know
    assert after["mixed2"].bits == 4
    cured = _noise(QuantizationPlan(eight_bits=("mixed2",)).applied(four))
    assert cured == before


def test_a_scale_for_each_channel_helps_where_rows_differ() -> None:
    program = build_student(RECIPE, classes=5, seed=1)
    stem = program.layers[0]
    uneven = replace(stem, weight=stem.weight * np.geomspace(0.01, 1, 8, dtype=np.float32).reshape(-1, 1, 1, 1))
    program = replace(program, nodes=tuple(uneven if node is stem else node for node in program.nodes))
    plain, channels = _noise(program), _noise(QuantizationPlan(per_channel=True).applied(program))
    assert channels["stem"].per_channel and not plain["stem"].per_channel
    assert _decibels(channels["stem"])[0] > _decibels(plain["stem"])[0]
    equalized = _noise(QuantizationPlan(equalized=True).applied(program))
    assert _decibels(equalized["stem"])[1] != pytest.approx(_decibels(plain["stem"])[1])


def test_a_layer_that_says_nothing_has_no_figure() -> None:
    program = build_student(RECIPE, classes=5, seed=1)
    stem = program.layers[0]
    silent = replace(stem, weight=np.zeros_like(stem.weight), bias=np.zeros_like(stem.bias))
    program = replace(program, nodes=tuple(silent if node is stem else node for node in program.nodes))
    assert _noise(program)["stem"].output_db is None
