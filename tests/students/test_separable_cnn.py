"""The image student: its shapes, its growth with the image, and that batch norms leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from integers import check_fake_quantization
from understudy.compression.quantize.calibrate import calibrate
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.students.separable_cnn import block_channels, halvings


def program(shape: tuple[int, int, int] = (12, 10, 1), **recipe: object) -> Program:
    made = Recipe(student="separable_cnn", image_shape=shape, width=8, hidden=16, **recipe)  # type: ignore[arg-type]
    return build_student(made, classes=5, seed=3)


@pytest.mark.parametrize(
    ("shape", "last"), [((8, 8, 1), (8, 8)), ((28, 28, 1), (7, 7)), ((32, 32, 3), (8, 8)), ((96, 96, 3), (6, 6))]
)
def test_the_image_shrinks_to_about_seven_pixels(shape: tuple[int, int, int], last: tuple[int, int]) -> None:
    shapes = program(shape).shapes()
    deepest = [size for name, size in shapes.items() if name.startswith("mixed")][-1]
    assert deepest == (*last, 16)
    assert shapes["logits"] == (5,)


def test_channels_grow_from_width_to_hidden() -> None:
    assert block_channels(Recipe(student="separable_cnn", width=8, hidden=64), 3) == [16, 32, 64]
    assert [halvings((side, side)) for side in (4, 9, 10, 28, 224)] == [0, 0, 1, 2, 5]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("per_channel", [True, False])
def test_fake_quantization_is_the_integer_program(bits: int, *, per_channel: bool) -> None:
    found = program(weight_bits=bits, per_channel=per_channel)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 12, 10, 1)).astype(np.uint8)
    batch = torch.from_numpy(pixels.astype(np.float32)) / 255
    # one step of the logits, plus hidden values that float and integer round apart
    check_fake_quantization(found, pixels, batch, most_steps=4)


def test_batch_norms_become_part_of_the_weights() -> None:
    """What was learned computes the same without them, before and after quantization is turned on."""
    torch.manual_seed(0)
    executor = Executor(program(), normalized=True).train()
    assert len(executor.norm) == 7
    optimizer = torch.optim.SGD(executor.parameters(), lr=0.01)
    batch = torch.rand(16, 12, 10, 1)
    for _ in range(10):
        optimizer.zero_grad()
        functional.cross_entropy(executor(batch), torch.arange(16) % 5).backward()
        optimizer.step()
    with_norms = evaluate(executor, [batch])
    learned, _ = executor.learned()
    np.testing.assert_allclose(evaluate(Executor(learned), [batch]), with_norms, rtol=1e-4, atol=1e-5)
    assert np.abs(learned.layers[0].weight - program().layers[0].weight).max() > 1e-4
    executor.quantize(calibrate(learned, [batch]))
    assert not executor.norm
    folded, _ = executor.learned()
    for before, after in zip(learned.layers, folded.layers, strict=True):
        np.testing.assert_array_equal(before.weight, after.weight)
        np.testing.assert_array_equal(before.bias, after.bias)
