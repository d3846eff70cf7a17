"""The multilayer perceptron, and windows in the separable network: shapes, and what a recipe changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from understudy.program.executor import Executor
from understudy.program.ops import Conv, DepthwiseConv, Linear
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import VectorCorpus
from understudy.training.schedule import Schedule

MLP = Recipe(student="mlp", width=12, hidden=8, input_shape=(30,))
WINDOW = Recipe(student="separable_cnn", width=8, hidden=24, input_shape=(49, 10))


def test_a_perceptron_has_one_or_two_hidden_layers() -> None:
    assert [layer.weight.shape for layer in build_student(MLP, classes=3, seed=0).layers] == [(12, 30), (8, 12), (3, 8)]
    small = build_student(replace(MLP, hidden=0), classes=3, seed=0)
    assert [layer.weight.shape for layer in small.layers] == [(12, 30), (3, 12)]


@pytest.mark.parametrize(("steps", "places"), [(4, 4), (49, 7), (64, 8), (1000, 8)])
def test_windows_are_halved_along_time_alone(steps: int, places: int) -> None:
    program = build_student(replace(WINDOW, input_shape=(steps, 10)), classes=3, seed=0)
    shapes = program.shapes()
    assert shapes["standardized"] == (steps, 1, 10)
    convolutions = [node for node in program.layers if isinstance(node, Conv | DepthwiseConv)]
    assert all(node.weight.shape[1:3] == (5, 1) for node in convolutions)
    assert all(shapes[node.output][1] == 1 for node in convolutions)
    assert shapes[convolutions[-1].output][0] == places
    assert isinstance(program.layers[-1], Linear) and program.classes == 3


@pytest.mark.parametrize("recipe", [MLP, WINDOW], ids=["vector", "window"])
def test_a_corpus_gives_what_the_student_reads_in_the_steps_of_integers(recipe: Recipe) -> None:
    program = build_student(recipe, classes=3, seed=0)
    assert recipe.input_shape is not None
    values = np.random.default_rng(0).normal(0, 2, (20, *recipe.input_shape)).astype(np.float32)
    corpus = VectorCorpus(values, program.source)  # type: ignore[arg-type]
    [batch] = corpus.batches()
    assert batch.shape[1:] == program.shapes()["standardized"]
    assert (batch * 32 == torch.round(batch * 32)).all()
    assert batch.min() >= -4 and batch.max() < 4
    assert Executor(program).eval()(batch).shape == (20, 3)
    torch.manual_seed(0)
    varied = corpus.augmentation(Schedule())(batch)
    assert varied.shape == batch.shape
    assert (varied != batch).all()
    assert torch.equal(corpus.augmentation(Schedule(word_dropout_factor=0.0))(batch), batch)
    assert len(corpus.part(0, 3)) == 3
