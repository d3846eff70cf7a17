"""Tests of seed mining: the chosen rows are the useful ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from understudy.program.ops import ProjectBoxes
from understudy.projections.boxes import BoxProjection, project
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.mining import best_rows, mined


def labelled(rng: np.random.Generator, count: int = 400) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images and labels that say whether the upper half is brighter, the left half, both or neither."""
    bright = rng.integers(0, 2, (count, 2))
    pixels = rng.integers(0, 100, (count, 12, 12, 1))
    pixels[:, :6] += 60 * bright[:, 0, None, None, None]
    pixels[:, :, :6] += 60 * bright[:, 1, None, None, None]
    return pixels.astype(np.uint8), (bright[:, 0] * 2 + bright[:, 1]).astype(np.int64)


def error(pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], projection: BoxProjection) -> float:
    """Return the squared error of the best linear layer on the signs."""
    signs = project(projection, pixels.astype(np.int16)).astype(np.float64)
    inputs, targets = np.column_stack([signs, np.ones(len(signs))]), np.eye(4)[labels]
    found = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    return float(((inputs @ found - targets) ** 2).sum())


def test_each_row_is_the_best_beside_those_before(rng: np.random.Generator) -> None:
    pixels, labels = labelled(rng)
    table = BoxProjection((12, 12, 1), tuple(range(60)))
    rows = best_rows(table, pixels, labels, count=4)
    for count in range(4):
        tried = [error(pixels, labels, BoxProjection((12, 12, 1), (*rows[:count], row))) for row in range(60)]
        assert tried[rows[count]] == pytest.approx(min(tried))


def test_a_shorter_choice_begins_a_longer_one(rng: np.random.Generator) -> None:
    pixels, labels = labelled(rng)
    table = BoxProjection((12, 12, 1), tuple(range(200)))
    assert best_rows(table, pixels, labels, count=30)[:10] == best_rows(table, pixels, labels, count=10)


def test_more_rows_than_are_useful_are_filled_up(rng: np.random.Generator) -> None:
    pixels, labels = labelled(rng, 30)
    rows = best_rows(BoxProjection((12, 12, 1), tuple(range(80))), pixels, labels, count=80)
    assert sorted(rows) == list(range(80))


def test_a_program_gets_the_rows_and_keeps_the_rest(rng: np.random.Generator) -> None:
    pixels, labels = labelled(rng)
    recipe = Recipe(student="projection_net", image_shape=(12, 12, 1), features=20, hidden=0)
    program = build_student(recipe, classes=4, seed=1)
    unlabelled = np.where(np.arange(len(labels)) % 2, labels, -1)
    found = mined(program, pixels, unlabelled, candidates=100)
    [node] = [node for node in found.nodes if isinstance(node, ProjectBoxes)]
    assert node.projection.rows == best_rows(
        BoxProjection((12, 12, 1), tuple(range(100))), pixels[1::2], labels[1::2], count=20
    )
    assert found.nodes[2:] == program.nodes[2:]


def test_a_choice_is_remembered(rng: np.random.Generator, tmp_path: Path) -> None:
    pixels, labels = labelled(rng)
    kept_in = tmp_path / "rows.json"
    found = []
    for count, again in ((20, False), (8, True), (30, True)):
        recipe = Recipe(student="projection_net", image_shape=(12, 12, 1), features=count, hidden=0)
        program = build_student(recipe, classes=4, seed=1)
        # what is remembered needs no labels
        given = np.zeros_like(labels) if again else labels
        [node] = [
            n for n in mined(program, pixels, given, candidates=100, kept_in=kept_in).nodes if isinstance(n, ProjectBoxes)
        ]
        found.append(node.projection.rows)
    assert found[1] == found[0][:8]
    assert found[2][:20] == found[0]
    assert kept_in.exists()
