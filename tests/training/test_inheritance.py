"""Sizes share work: a narrower student begins from the strongest channels of a wider one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trainings import CLASSES, RECIPES, images_and_labels, task, write_lesson
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Node, Program
from understudy.search.space import Candidate
from understudy.selection import Plan
from understudy.students.plain_cnn import NARROW_WIDTH
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import ImageCorpus
from understudy.training.inheritance import can_begin_from, strongest_channels
from understudy.training.workers import Workers

NARROW = RECIPES["plain_cnn"]
WIDE = replace(NARROW, width=16, hidden=16)


def _without(program: Program, kept: dict[str, list[int]]) -> Program:
    """Return ``program`` with weights of 0 in all channels that are not ``kept``."""
    nodes: list[Node] = []
    for node in program.nodes:
        weight: Any = np.zeros_like(node.weight) if node.output in kept else None  # type: ignore[union-attr]
        if weight is not None:
            weight[kept[node.output]] = node.weight[kept[node.output]]  # type: ignore[union-attr]
        nodes.append(node if weight is None else replace(node, weight=weight))  # type: ignore[call-arg]
    return Program(tuple(nodes))


@pytest.mark.parametrize("width", [WIDE.width, NARROW_WIDTH])
def test_channels_that_do_nothing_are_the_ones_that_are_left_out(width: int) -> None:
    narrow = build_student(NARROW, classes=CLASSES, seed=1)
    rng = np.random.default_rng(2)
    wide = build_student(replace(WIDE, width=width), classes=CLASSES, seed=3)
    kept = {
        of_wide.output: sorted(rng.permutation(len(of_wide.weight))[: len(of_narrow.weight)].tolist())
        for of_wide, of_narrow in zip(wide.layers, narrow.layers, strict=True)
        if of_wide.output != "logits"
    }
    wide = _without(wide, kept)
    if width == NARROW_WIDTH:  # its classes read the sums too, and those of a narrow student the maxima alone
        wide.layers[-1].weight[:, : WIDE.hidden] = 0
    begun = strongest_channels(NARROW, wide)
    assert begun.shapes() == narrow.shapes()
    images, _ = images_and_labels(20, seed=4)
    of_begun, of_wide = (evaluate(Executor(program), ImageCorpus(images).batches()) for program in (begun, wide))
    assert np.allclose(of_begun, of_wide, rtol=1e-4, atol=1e-7)
    assert np.ptp(of_wide) > 1e-3


def test_only_a_plain_cnn_begins_from_a_wider_one_of_the_same_images() -> None:
    assert can_begin_from(NARROW, WIDE)
    assert not can_begin_from(WIDE, NARROW)
    assert not can_begin_from(WIDE, WIDE)
    assert not can_begin_from(replace(NARROW, hidden=WIDE.hidden + 1), WIDE)
    assert not can_begin_from(NARROW, replace(WIDE, image_shape=(12, 12, 1)))
    assert not can_begin_from(RECIPES["separable_cnn"], WIDE)
    assert not can_begin_from(NARROW, replace(RECIPES["separable_cnn"], width=16, hidden=16))


def test_a_training_waits_for_the_one_that_it_begins_from(tmp_path: Path) -> None:
    store = write_lesson(tmp_path / "lesson", WIDE)
    wide = task(WIDE)
    still = replace(wide.schedule, learning_rate=0.0)
    narrow = task(NARROW, begins_from=wide.key, schedule=still)
    (tmp_path / "results").mkdir()
    with Workers(store.folder, tmp_path / "results", count=2) as workers:
        of_narrow, of_wide = workers.run([narrow, wide])
    assert narrow.key != task(NARROW, schedule=still).key
    begun = strongest_channels(NARROW, of_wide.float_program)
    for before, after in zip(begun.layers, of_narrow.float_program.layers, strict=True):
        # batch norms, which have become part of the weights, change the size of a kernel, not its direction
        assert np.allclose(_directions(before.weight), _directions(after.weight), atol=1e-5)


def _directions(kernels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    rows = kernels.reshape(len(kernels), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _plan(**changes: Any) -> Plan:
    settings: dict[str, Any] = {"base": NARROW, "classes": CLASSES, "texts": 90, "held_out": 10, "objective": {}}
    settings |= {"class_weight": None, "taught": True, "joint": False, "brought": None, "teacher_is_optional": False}
    settings |= {"seed": 1, "epochs": 1, "budgets": 2, "build": lambda recipe: build_student(recipe, classes=CLASSES, seed=1)}
    return Plan(**(settings | changes))


def _candidate(recipe: Recipe) -> Candidate:
    return Candidate(recipe, dropout=0.0, learning_rate=1e-2)


def test_a_twin_begins_from_the_wider_twin_and_a_refit_from_what_has_not_seen_the_validation_images() -> None:
    plan = _plan(parent=_candidate(WIDE))
    wide, wide_twin = (plan.task(_candidate(WIDE), taught=taught) for taught in (True, False))
    assert (wide.begins_from, wide_twin.begins_from) == (None, None)
    assert plan.task(_candidate(NARROW), taught=True).begins_from == wide.key
    assert plan.task(_candidate(NARROW), taught=False).begins_from == wide_twin.key
    assert plan.task(_candidate(NARROW), taught=True, refit=True).begins_from == wide.key
    assert plan.task(_candidate(NARROW), taught=True, share=0.25).begins_from == wide.key
    assert _plan().task(_candidate(NARROW), taught=True).begins_from is None
