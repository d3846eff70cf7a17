"""The default student for images: its shapes, and that integers compute what it learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from integers import check_fake_quantization
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import exporter
from understudy.formats import DEFAULT_FORMATS
from understudy.program.ops import Program, SumPool
from understudy.students.plain_cnn import NARROW_WIDTH
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def program(shape: tuple[int, int, int] = (12, 10, 1), **recipe: object) -> Program:
    made = Recipe(student="plain_cnn", image_shape=shape, width=12, hidden=16, **recipe)  # type: ignore[arg-type]
    return build_student(made, classes=5, seed=3)


@pytest.mark.parametrize(
    ("shape", "last"),
    [((8, 8, 1), (8, 8)), ((14, 12, 1), (7, 6)), ((28, 28, 1), (7, 7)), ((64, 48, 3), (8, 6)), ((224, 224, 3), (7, 7))],
)
def test_the_image_shrinks_to_about_seven_pixels(shape: tuple[int, int, int], last: tuple[int, int]) -> None:
    shapes = program(shape).shapes()
    assert shapes["block4"] == (*last, 16)
    assert shapes["logits"] == (5,)


def test_a_convolution_that_halves_keeps_its_channels() -> None:
    """A quarter of the width in the first two, twice as many in the next two; large images are halved before."""
    shapes = program((28, 28, 1)).shapes()
    assert [shapes[f"block{number}"] for number in range(4)] == [(28, 28, 3), (14, 14, 3), (14, 14, 6), (7, 7, 6)]
    assert program((64, 64, 3)).shapes()["block0"] == (32, 32, 3)


def test_a_narrow_one_takes_the_maximum_alone() -> None:
    narrow, wide = (
        build_student(Recipe(student="plain_cnn", image_shape=(12, 10, 1), width=w, hidden=8), classes=5, seed=1)
        for w in (NARROW_WIDTH - 4, NARROW_WIDTH)
    )
    assert [sum(isinstance(node, SumPool) for node in each.nodes) for each in (narrow, wide)] == [0, 1]
    assert [each.layers[-1].weight.shape for each in (narrow, wide)] == [(5, 8), (5, 16)]


def test_four_kilobytes_hold_one_student_in_every_default_format() -> None:
    recipe = Recipe(student="plain_cnn", image_shape=(28, 28, 1), width=12, hidden=16, weight_bits=4)
    found = quantized_shape(build_student(recipe, classes=10, seed=0))
    sizes = {name: sum(count for _, count in exporter(name).byte_table(found, name="mnist")) for name in DEFAULT_FORMATS}
    assert found.weight_count == 1662
    assert max(sizes.values()) <= 4096, sizes


def test_images_beyond_the_table_keep_more_places() -> None:
    assert program((900, 700, 1)).shapes()["block4"] == (29, 22, 16)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("per_channel", [True, False])
def test_fake_quantization_is_the_integer_program(bits: int, *, per_channel: bool) -> None:
    found = program(weight_bits=bits, per_channel=per_channel)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 12, 10, 1)).astype(np.uint8)
    batch = torch.from_numpy(pixels.astype(np.float32)) / 255
    # one step of the logits, plus hidden values that float and integer round apart
    check_fake_quantization(found, pixels, batch, most_steps=4)
