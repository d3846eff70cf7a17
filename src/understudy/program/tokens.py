"""Nodes over tokens, which are the places of a map; ``spec/program.md`` 22 to 25.

``Positions`` and ``Place`` are exact. ``LayerNorm`` and ``Attention`` are *float islands*: they read int8 tensors, compute in
float32, and write int8 again. Runtimes may differ there in the last bit, so programs with islands agree within a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Positions:
    """``[H, W, C]`` plus a number for each place and channel; all share their scale; spec/program.md 22.

    Attributes:
        table: float32 or int8 ``[rows, C]``, learned; ``rows - H * W`` places of zeros come before the others, such as a class
            token, and the output is then ``[rows, 1, C]``.
    """

    input: str
    output: str
    table: npt.NDArray[np.float32] | npt.NDArray[np.int8]


@dataclass(frozen=True)
class Place:
    """``[H, W, C] -> [C]``: one place, counted along the rows; input and output share their quantization; spec 23."""

    input: str
    output: str
    index: int


@dataclass(frozen=True)
class LayerNorm:
    """``[..., C]`` less its mean, over its deviation, at every place; a float island; spec 24.

    Attributes:
        epsilon: is added to the variance.
        where: the place in the user's network, for people.
    """

    input: str
    output: str
    epsilon: float
    where: str


@dataclass(frozen=True)
class Attention:
    """Means of values, weighted by the softmax of products of queries and keys; a float island; spec 25.

    Attributes:
        inputs: queries and keys ``[H, W, heads * D]``, values ``[H, W, heads * V]``; the output is like the values.
        heads: each has its own part of the channels.
        factor: of the products.
        where: the place in the user's network, for people.
    """

    inputs: tuple[str, str, str]
    output: str
    heads: int
    factor: float
    where: str


Island = LayerNorm | Attention
"""What computes in float between tensors of integers."""
_WORDS = {LayerNorm: "layer norm", Attention: "attention"}


def label(island: Island) -> str:
    """Return what an island is and where it sits, in words."""
    return f"{_WORDS[type(island)]} in {island.where}"
