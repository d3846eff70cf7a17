"""Its input is bits; without a hidden layer its weights are T·d·C + C as published."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.projections.text import encode, project
from understudy.students.projection_net import build
from understudy.students.recipe import Recipe


@pytest.mark.parametrize(("functions", "bits", "classes"), [(8, 10, 10), (60, 12, 10)])
def test_learned_numbers_as_published(functions: int, bits: int, classes: int) -> None:
    program = build(Recipe(student="projection_net", features=functions * bits, hidden=0), classes=classes, seed=0)
    assert program.weight_count == functions * bits * classes + classes


@pytest.mark.parametrize(
    ("signs", "hidden", "learned"), [(80, 0, 810), (120, 0, 1210), (600, 0, 6010), (720, 0, 7210), (720, 256, 187146)]
)
def test_learned_numbers_of_images_as_published(signs: int, hidden: int, learned: int) -> None:
    recipe = Recipe(student="projection_net", features=signs, hidden=hidden, image_shape=(28, 28, 1))
    program = build(recipe, classes=10, seed=0)
    assert program.weight_count == learned
    assert program.shapes()["features"] == (signs,)


def test_features_are_bits_and_similar_texts_share_them() -> None:
    program = build(Recipe(student="projection_net", features=512, hidden=16, max_bytes=64), classes=3, seed=0)
    texts = ["book a table for two", "book a table for three", "what is the weather"]
    first, near, far = project(program.projection, encode(texts, max_bytes=64)).astype(np.int64)
    assert set(np.unique(first)) == {-1, 1}
    assert (first == near).mean() > (first == far).mean() + 0.1
