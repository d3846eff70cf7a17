"""The recurrent student: its shapes, its bits, its size, and that what is trained is the integer program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from integers import check_fake_quantization
from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import exporter
from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Conv, Linear, Program, ProjectVector, Scan, Standardize
from understudy.search.space import FRAME_SIGNS, Budget, smallest
from understudy.search.study import Study
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def program(**recipe: object) -> Program:
    settings = {"input_shape": (20, 3), "width": 8, "hidden": 12, "features": 0, **recipe}
    return build_student(Recipe(student="projection_rnn", **settings), classes=5, seed=3)  # type: ignore[arg-type]


def test_two_recurrences_read_every_frame() -> None:
    shapes = program().shapes()
    assert shapes["gates1"] == (20, 1, 16)
    assert shapes["states1"] == (20, 1, 8)
    assert shapes["states2"] == (20, 1, 12)
    assert (shapes["pooled"], shapes["logits"]) == ((24,), (5,))


def test_bits_of_each_frame_stand_before_them_where_they_are_asked_for() -> None:
    found = program(features=96, weight_bits=4)
    [projection] = [node for node in found.nodes if isinstance(node, ProjectVector)]
    assert (projection.projection.functions, projection.projection.bits) == (12, 8)
    assert found.shapes()["features"] == (20, 1, 96)
    assert found.layers[0].weight.shape == (16, 96)
    integer = quantized_shape(found)
    bits = next(node for node in integer.nodes if node.output == "features")
    assert isinstance(bits, Linear)
    assert set(np.unique(bits.weight)) == {-1, 1}


def test_a_frame_of_a_sound_is_read_by_one_convolution() -> None:
    found = program(image_shape=(12, 32, 1), sound=(1664, 8000), input_shape=None, features=96)
    first = found.layers[0]
    assert isinstance(first, Conv)
    assert first.weight.shape == (16, 1, 32, 1)
    assert found.shapes()["gates1"] == (12, 1, 16)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("features", [0, 16])
def test_fake_quantization_is_the_integer_program(bits: int, features: int) -> None:
    found = program(weight_bits=bits, features=features)
    source = found.source
    assert isinstance(source, Standardize)
    values = np.random.default_rng(1).normal(0, 1, (60, 20, 3)).astype(np.float32)
    batch = torch.from_numpy(np.clip(np.rint(values * 32), -128, 127) / 32)[:, :, None]
    # states may be rounded apart by a step, and each of them by its neighbours in time
    check_fake_quantization(found, values, batch, most_steps=8)


def test_it_learns_an_order_that_means_and_maxima_of_frames_do_not_show() -> None:
    """Two pulses on two channels, one after the other: which came first is the class."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    values = rng.normal(0, 0.1, (600, 20, 1, 3)).astype(np.float32)
    first, second = rng.integers(0, 9, 600), rng.integers(11, 20, 600)
    values[np.arange(600), np.where(labels, first, second), 0, 0] += 3
    values[np.arange(600), np.where(labels, second, first), 0, 1] += 3
    executor = Executor(program(), normalized=True).train()
    assert set(executor.norm) == {"gates1", "gates2"}
    optimizer = torch.optim.AdamW(executor.parameters(), lr=9e-3)
    for _ in range(150):
        rows = rng.integers(0, 500, 64)
        optimizer.zero_grad()
        functional.cross_entropy(executor(torch.from_numpy(values[rows])), torch.from_numpy(labels[rows])).backward()
        optimizer.step()
    learned, _ = executor.learned()
    assert not Executor(learned).norm
    assert (evaluate(Executor(learned), [torch.from_numpy(values[500:])]).argmax(1) == labels[500:]).mean() > 0.95


@pytest.mark.parametrize("format_name", ["onnx", "c", "python"])
def test_sizes_are_known_before_training(format_name: str) -> None:
    """A trained program's file is as long as that of its shape."""
    found = program(weight_bits=4)
    batch = torch.randn(40, 20, 1, 3).clamp(-4, 3.9)
    executor = Executor(found, scheme=calibrate(found, [batch]))
    learned, scheme = executor.learned()
    assert scheme is not None
    trained = to_integer(learned, scheme, logits=evaluate(executor, [batch]))
    sizes = [sum(size for _, size in exporter(format_name).byte_table(p, name="m")) for p in (trained, quantized_shape(found))]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("input_shape", "tried"), [((20, 3), {0, FRAME_SIGNS}), (None, {0})])
def test_a_search_tries_bits_of_windows_once_it_has_trials(input_shape: tuple[int, int] | None, tried: set[int]) -> None:
    base = Recipe(
        student="projection_rnn",
        input_shape=input_shape,
        image_shape=None if input_shape else (12, 32, 1),
        sound=None if input_shape else (1664, 8000),
    )
    assert smallest(base).features == 0

    def size_of(recipe: Recipe) -> dict[str, int]:
        return {"c": 20 * recipe.width + recipe.features}

    study = Study(budget=Budget("4KB", {"c": 4096}, 4), base=base, size_of=size_of, classes=2, seed=1)
    asked = []
    for _ in range(9):
        found = study.ask()
        assert found is not None
        study.tell(found, 0.5)
        asked.append(found.candidate.recipe.features)
    assert asked[0] == 0
    assert set(asked) == tried


def test_scan_nodes_learn_nothing() -> None:
    found = program()
    assert sum(isinstance(node, Scan) for node in found.nodes) == 2
    assert found.weight_count == (3 + 1) * 16 + (8 + 1) * 24 + (24 + 1) * 5
