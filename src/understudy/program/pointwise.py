"""Nodes that work on values one by one: any function of one number as a table, and products; ``spec/program.md`` 19 and 20."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Lookup:
    """A function of each value, in an integer program the value of a table at ``q + 128``; spec/program.md 19.

    Attributes:
        curve: the function in real numbers; see ``curves.py``. Integer programs keep it, so that people can read it.
        table: integer program only: int8 ``[256]``.
    """

    input: str
    output: str
    curve: str
    table: npt.NDArray[np.int8] | None = None


@dataclass(frozen=True)
class Multiply:
    """Two tensors of one shape value by value, or a map and a number for each of its channels; spec/program.md 20.

    Attributes:
        inputs: both of the output's shape, or ``[H, W, C]`` and ``[C]``.
    """

    inputs: tuple[str, str]
    output: str
