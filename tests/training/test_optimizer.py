"""Muon turns the matrices behind which a batch norm is, AdamW changes the rest; both go on where they stopped."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from understudy.program.executor import Executor
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.optimizer import MATRIX_RATE, Optimizer, optimizer_for
from understudy.training.schedule import Schedule
from understudy.training.trainer import WideNetwork

SCHEDULE = Schedule(learning_rate=0.01, weight_decay=0.5)
IMAGES = torch.rand(32, 8, 8, 1, generator=torch.Generator().manual_seed(1))


def _executor(student: Any = "separable_cnn", *, normalized: bool = True) -> Executor:
    shape = {} if student == "projection_sequence" else {"image_shape": (8, 8, 1)}
    recipe = Recipe(student=student, width=8, hidden=12, weight_bits=8, **shape)
    return Executor(build_student(recipe, classes=3, seed=1), normalized=normalized).train()


def _matrices(optimizer: Optimizer) -> list[tuple[int, ...]]:
    """Return the shapes that Muon has: its groups follow AdamW's, which are one without scales."""
    return [tuple(p.shape) for group in list(optimizer.groups)[1:] for p in group["params"]]


def _step(executor: Executor, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    executor(IMAGES).square().mean().backward()
    optimizer.step()


def test_muon_has_the_matrices_behind_which_a_batch_norm_is() -> None:
    separable = _executor()
    found = _matrices(optimizer_for(separable, None, SCHEDULE))
    pointwise = [tuple(weight.shape) for name, weight in separable.weight.items() if name.startswith("mixed")]
    assert len(pointwise) == 3
    assert sorted(found) == sorted([*pointwise, (8, 3, 3, 1)])  # the stem; a depthwise convolution has no matrix
    assert _matrices(optimizer_for(_executor(normalized=False), None, SCHEDULE)) == []
    assert _matrices(optimizer_for(_executor("projection_sequence"), None, SCHEDULE)) == []


def test_every_parameter_is_in_one_group() -> None:
    executor = _executor()
    counted = [p.numel() for group in optimizer_for(executor, None, SCHEDULE).groups for p in group["params"]]
    assert sum(counted) == sum(p.numel() for p in executor.parameters())


def test_a_wide_network_beside_the_student_learns_as_it_does() -> None:
    student, wide = _executor("projection_sequence"), WideNetwork(_executor("plain_cnn").graph, dropout=0.0)
    optimizer = optimizer_for(student, wide, SCHEDULE)
    behind = [tuple(p.shape) for p in wide.executor.normalized_matrices()]
    assert len(behind) == 5
    *groups_of_adam, muon = optimizer.groups
    assert [tuple(p.shape) for p in muon["params"]] == behind
    assert sum(p.numel() for group in [*groups_of_adam, muon] for p in group["params"]) == sum(
        p.numel() for module in (student, wide) for p in module.parameters()
    )


def test_a_step_of_muon_changes_a_matrix_by_as_much_in_every_direction() -> None:
    executor = _executor("plain_cnn")
    before = {name: weight.detach().clone() for name, weight in executor.weight.items()}
    optimizer = optimizer_for(executor, None, SCHEDULE)
    for group in optimizer.groups:
        group["lr"] = group["peak"]
    _step(executor, optimizer)
    rate = MATRIX_RATE * SCHEDULE.learning_rate
    for name in executor.norm:
        matrix = before[name].flatten(1)
        change = executor.weight[name].detach().flatten(1) - matrix * (1 - rate * SCHEDULE.weight_decay)
        # orthogonal, but for the five steps that make it so, and as large as a step of AdamW would be
        sizes = torch.linalg.svdvals(change) / (rate * 0.2 * max(change.shape) ** 0.5)
        assert 0.5 < sizes.min() <= sizes.max() < 1.3, name


@pytest.mark.parametrize("student", ["plain_cnn", "separable_cnn"])
def test_a_state_that_was_loaded_gives_the_same_next_step(student: str) -> None:
    whole = _executor(student)
    optimizer = optimizer_for(whole, None, SCHEDULE)
    for _ in range(3):
        _step(whole, optimizer)
    again = _executor(student)
    resumed = optimizer_for(again, None, SCHEDULE)
    again.load_state_dict(whole.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _step(whole, optimizer)
    _step(again, resumed)
    after, before = whole.state_dict(), again.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert not torch.equal(whole.weight["logits"], _executor(student).weight["logits"])
