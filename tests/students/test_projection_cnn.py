"""Tests of the student whose projection reads what convolutions found."""

from __future__ import annotations

import numpy as np
import torch

from integers import check_fake_quantization
from understudy.program.executor import Executor
from understudy.program.ops import Conv, ProjectBoxes
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def recipe(shape: tuple[int, int, int]) -> Recipe:
    return Recipe(student="projection_cnn", image_shape=shape, width=4, hidden=12, features=48)


def test_the_image_shrinks_before_its_projection() -> None:
    for shape, projected in (
        ((28, 28, 1), (7, 7, 8)),
        ((32, 32, 3), (8, 8, 8)),
        ((8, 8, 1), (8, 8, 8)),
        ((64, 48, 3), (8, 6, 8)),
    ):
        program = build_student(recipe(shape), classes=5, seed=1)
        [node] = [node for node in program.nodes if isinstance(node, ProjectBoxes)]
        assert node.projection.shape == projected
        assert program.shapes()["features"] == (48,)
        assert program.classes == 5


def test_convolutions_learn_through_the_signs() -> None:
    executor = Executor(build_student(recipe((12, 12, 1)), classes=3, seed=1), normalized=True).train()
    images = torch.rand(16, 12, 12, 1, generator=torch.Generator().manual_seed(1))
    torch.nn.functional.cross_entropy(executor(images), torch.arange(16) % 3).backward()
    convolutions = [node.output for node in executor.graph.layers if isinstance(node, Conv)]
    assert len(convolutions) == 5
    for name in convolutions:
        gradient = executor.weight[name].grad
        assert gradient is not None
        assert float(gradient.abs().max()) > 0


def test_one_seed_gives_one_program() -> None:
    first, again = (build_student(recipe((12, 12, 1)), classes=3, seed=1) for _ in range(2))
    for a, b in zip(first.layers, again.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)


def test_fake_quantization_is_the_integer_program() -> None:
    """Signs change where a hidden value is rounded apart, so most logits agree, not all."""
    program = build_student(recipe((12, 12, 1)), classes=3, seed=1)
    pixels = np.random.default_rng(1).integers(0, 256, (60, 12, 12, 1)).astype(np.uint8)
    batch = torch.from_numpy(pixels.astype(np.float32)) / 255
    check_fake_quantization(program, pixels, batch, most_steps=None)
