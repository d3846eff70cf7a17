"""Initial weights of a student's layers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from understudy.program.ops import Conv, Linear, Standardize
from understudy.program.shapes import same_padding
from understudy.students.recipe import Recipe


def linear(
    rng: np.random.Generator, source: str, target: str, *, shape: tuple[int, int], recipe: Recipe, relu: bool, bias: bool
) -> Linear:
    """Return a float layer with weights ``shape`` ``[out, in]`` drawn uniformly (He et al. 2015, equation 10)."""
    rows, columns = shape
    bound = (6.0 / columns) ** 0.5 if relu else columns**-0.5
    return Linear(
        input=source,
        output=target,
        weight=rng.uniform(-bound, bound, shape).astype(np.float32),
        bias=np.zeros(rows, np.float32) if bias else None,
        relu=relu,
        bits=recipe.weight_bits,
        per_channel=recipe.per_channel,
    )


def convolution(
    rng: np.random.Generator,
    source: str,
    target: str,
    *,
    size: tuple[int, int],
    shape: tuple[int, int, int, int],
    stride: int,
    recipe: Recipe,
) -> Conv:
    """Return a float convolution before relu, of an image of ``size`` with weights ``shape`` ``[out, height, width, in]``."""
    _, *kernel, _ = shape
    return Conv(
        source,
        target,
        weight=uniform(rng, shape),
        bias=np.zeros(shape[0], np.float32),
        stride=stride,
        padding=same_padding(size, kernel=(kernel[0], kernel[1]), stride=stride),
        relu=True,
        per_channel=recipe.per_channel,
    )


def unfitted(recipe: Recipe) -> Standardize:
    """Return the source for numbers of the recipe's shape; means and deviations come with the data."""
    assert recipe.input_shape is not None
    channels = recipe.input_shape[-1]
    nothing, one = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    return Standardize("values", "standardized", recipe.input_shape, offset=nothing, multiplier=one)


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return weights ``[out, ...]`` of a layer before relu, drawn uniformly (He et al. 2015, equation 10)."""
    bound = (6.0 / math.prod(shape[1:])) ** 0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32)
