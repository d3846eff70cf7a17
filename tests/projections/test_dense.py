"""Properties of the dense projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.projections.dense import DenseProjection, coefficients, project

SIGN = DenseProjection(inputs=12, functions=4, bits=5, vectors="sign", seed=1)
TERNARY = DenseProjection(inputs=12, functions=4, bits=5, vectors="ternary", seed=1)
BYTES = st.lists(st.integers(-128, 127), min_size=12, max_size=12)


@pytest.mark.parametrize("projection", [SIGN, TERNARY], ids=lambda projection: projection.vectors)
@given(x=BYTES, factor=st.integers(1, 1000))
def test_length_does_not_matter(projection: DenseProjection, x: list[int], factor: int) -> None:
    row = np.asarray([x], np.int32)
    assert np.array_equal(project(projection, row), project(projection, row * factor))


@given(x=BYTES)
def test_the_other_side_has_the_other_bits(x: list[int]) -> None:
    row = np.asarray([x], np.int32)
    sums = row @ coefficients(SIGN).T.astype(np.int32)
    bits, opposite = project(SIGN, row), project(SIGN, -row)
    assert np.array_equal(bits + opposite, (sums != 0).astype(np.int8))


@given(x=BYTES)
def test_every_number_type_gives_the_same_bits(x: list[int]) -> None:
    row = np.asarray([x])
    expected = project(TERNARY, row.astype(np.int32))
    assert expected.dtype == np.int8
    assert np.array_equal(project(TERNARY, row.astype(np.int8)), expected)
    assert np.array_equal(project(TERNARY, row.astype(np.float32)), expected)


@given(x=BYTES, exponent=st.integers(-60, 60))
def test_floats_within_the_exact_range_follow_the_integers(x: list[int], exponent: int) -> None:
    row = np.asarray([x], np.int32)
    scaled = np.ldexp(row.astype(np.float32), exponent)
    assert np.array_equal(project(SIGN, scaled), project(SIGN, row))


def test_sums_of_large_integers_do_not_wrap() -> None:
    projection = DenseProjection(inputs=4096, functions=2, bits=8, seed=3)
    x = np.where(np.arange(4096) % 2 == 0, 2**31 - 1, -(2**31)).astype(np.int32)[None]
    exact = [sum(int(p) * int(v) for p, v in zip(row, x[0], strict=True)) > 0 for row in coefficients(projection)]
    assert project(projection, x)[0].tolist() == [int(bit) for bit in exact]


def test_coefficients_have_the_stated_shares() -> None:
    sign = coefficients(DenseProjection(inputs=1000, functions=10, bits=10, vectors="sign", seed=5))
    ternary = coefficients(DenseProjection(inputs=1000, functions=10, bits=10, vectors="ternary", seed=5))
    assert set(np.unique(sign)) == {-1, 1}
    assert set(np.unique(ternary)) == {-1, 0, 1}
    assert abs((sign == 1).mean() - 1 / 2) < 0.005
    assert abs((ternary == 1).mean() - 1 / 6) < 0.005
    assert abs((ternary == -1).mean() - 1 / 6) < 0.005


@pytest.mark.parametrize("vectors", ["sign", "ternary"])
def test_the_share_of_equal_bits_follows_the_angle(vectors: str, rng: np.random.Generator) -> None:
    """Two vectors at angle a share a bit with probability 1 - a / pi (Goemans and Williamson 1995; Charikar 2002)."""
    projection = DenseProjection(inputs=256, functions=100, bits=20, vectors=vectors, seed=11)
    a, noise = rng.normal(size=(2, 256))
    for weight in (0.2, 1.0, 3.0):
        b = a + weight * noise
        angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        bits = project(projection, np.stack([a, b]).astype(np.float32))
        assert abs((bits[0] == bits[1]).mean() - (1 - angle / np.pi)) < 0.04


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3), np.int8), r"x is \[batch, 12\]: received shape=\(2, 3\)"),
        (np.zeros(12, np.int8), r"x is \[batch, 12\]: received shape=\(12,\)"),
        (np.zeros((1, 12), np.int64), "received dtype=int64"),
        (np.zeros((1, 12), np.float16), "received dtype=float16"),
        (np.full((1, 12), np.nan, np.float32), "x is finite"),
        (np.full((1, 12), np.inf, np.float32), "x is finite"),
    ],
)
def test_other_inputs_are_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        project(SIGN, x)
