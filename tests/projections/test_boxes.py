"""Properties of the projection by boxes: NumPy and torch, sign for sign, and what lets layers before it learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from understudy.projections.boxes import BoxProjection, boxes, coefficients, project, side_limits
from understudy.projections.boxes_torch import BoxLayer

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4))


@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1), first=st.integers(0, 65500))
def test_boxes_lie_inside(shape: tuple[int, int, int], seed: int, first: int) -> None:
    found = boxes(BoxProjection(shape, tuple(range(first, first + 30)), seed))
    for begin, side, length in ((found.top, found.height, shape[0]), (found.left, found.width, shape[1])):
        assert begin.min() >= 0
        assert (begin + side).max() <= length
        least, most = side_limits(length)
        assert least <= side.min()
        assert side.max() <= most
    assert found.channel.max() < shape[2]


@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1))
def test_signs_are_those_of_the_products_with_the_coefficients(shape: tuple[int, int, int], seed: int) -> None:
    projection = BoxProjection(shape, tuple(range(40)), seed)
    x = np.random.default_rng(seed).integers(-255, 256, (5, *shape))
    sums = x.reshape(5, -1) @ coefficients(projection).astype(np.int64).T
    assert np.array_equal(project(projection, x), np.where(sums > 0, 1, -1))


def test_rows_do_not_depend_on_each_other() -> None:
    every = coefficients(BoxProjection((9, 9, 2), tuple(range(100)), 4))
    some = coefficients(BoxProjection((9, 9, 2), (99, 3, 3, 40), 4))
    assert np.array_equal(some, every[[99, 3, 3, 40]])
    assert not np.array_equal(every, coefficients(BoxProjection((9, 9, 2), tuple(range(100)), 5)))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x is \[batch, \(9, 9, 2\)\]: received shape=\(3, 9, 2\)"):
        project(BoxProjection((9, 9, 2), (1,)), np.zeros((3, 9, 2), np.int16))


@pytest.mark.parametrize("step", [1 / 255, 0.0371])
def test_the_torch_layer_gives_the_same_signs(step: float, rng: np.random.Generator) -> None:
    projection = BoxProjection((28, 28, 1), tuple(range(300)))
    integers = rng.integers(0, 256, (20, 28, 28, 1)) // 32 * (rng.random((20, 28, 28, 1)) < 0.2)  # many equal sums
    real = torch.from_numpy((integers * np.float32(step)).astype(np.float32))
    assert np.array_equal(BoxLayer(projection)(real, step).numpy(), project(projection, integers))


def test_what_comes_before_learns_as_if_signs_were_clamped_sums() -> None:
    projection = BoxProjection((6, 6, 1), tuple(range(8)))
    x = torch.randn(50, 6, 6, 1, generator=torch.Generator().manual_seed(1), requires_grad=True)
    signs = BoxLayer(projection)(x, None)
    assert set(signs.detach().unique().tolist()) == {-1.0, 1.0}
    signs[:, 0].sum().backward()
    sums = x.detach().flatten(1).numpy() @ coefficients(projection)[0]
    mean_square = (sums**2).mean() ** 0.5
    expected = (np.abs(sums) < mean_square)[:, None] * coefficients(projection)[0] / mean_square
    assert x.grad is not None
    assert np.allclose(x.grad.flatten(1).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "rows"), [((9, 9, 1), ()), ((9, 9, 1), (3, -1)), ((9, 9, 1), (65536,)), ((9, 0, 1), (1,)), ((9, 9, 0), (1,))]
)
def test_what_has_no_signs_is_refused(shape: tuple[int, int, int], rows: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"rows are from 0 to 65535 and sides from 1: received shape="):
        BoxProjection(shape, rows)
