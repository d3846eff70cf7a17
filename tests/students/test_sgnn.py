"""Feature types have columns of their own; the second hidden layer can be left out."""

from __future__ import annotations

import pytest

from understudy.students.recipe import Recipe
from understudy.students.sgnn import build, partition


@pytest.mark.parametrize("features", [32, 100, 192, 1152])
def test_the_partition_covers_all_columns_and_every_type(features: int) -> None:
    groups = partition(features)
    assert sum(group.features for group in groups) == features
    assert [group.kind for group in groups] == ["character", "word", "skip0", "skip1"]
    assert all(group.features > 0 for group in groups)


@pytest.mark.parametrize(("hidden", "layers"), [(0, 2), (24, 3)])
def test_shapes(hidden: int, layers: int) -> None:
    program = build(Recipe(student="sgnn", features=96, width=16, hidden=hidden), classes=5, seed=0)
    assert program.projection.output_shape == (96,)
    assert program.projection.pooling == "utterance"
    assert len(program.linears) == layers
    assert program.classes == 5
