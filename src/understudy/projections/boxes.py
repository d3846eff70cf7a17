"""Images to signs by pairs of boxes, as ``spec/projection.md`` section 4 fixes it.

Each sign compares the sums over two boxes: a random vector whose entries are +1, -1 and 0, as in the dense projection, but
laid out so that neighbouring pixels, which say nearly the same, are read together (the two-rectangle features of Viola and
Jones 2001, drawn at random). Rows are drawn from an endless table; which of them a student reads is its choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.projections.mixer import mix

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]

MOST_ROWS = 2**16
"""Row numbers fit in two bytes."""
STREAM = 130
BOXES, SIGNS = 2, (1, -1)
_NUMBERS = 8
"""Counter values kept for each box; five are used."""


@dataclass(frozen=True)
class BoxProjection:
    """Everything that fixes a projection by boxes; the same value gives the same signs on every device.

    Attributes:
        shape: height, width and channels of the input.
        rows: numbers of the rows that are read, each below ``MOST_ROWS``: one sign for each.
        seed: unsigned 32-bit seed of the table of rows.
    """

    shape: tuple[int, int, int]
    rows: tuple[int, ...]
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what has no signs.

        Raises:
            ValueError: no row, or one outside of the table, or a side of the input below 1.
        """
        if not self.rows or min(self.rows) < 0 or max(self.rows) >= MOST_ROWS or min(self.shape) < 1:
            raise ValueError(f"rows are from 0 to {MOST_ROWS - 1} and sides from 1: received shape={self.shape}")

    @property
    def features(self) -> int:
        """T * d, the number of signs."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Where boxes stand: each attribute is int64 ``[rows, 2]``."""

    height: Int64Array
    width: Int64Array
    top: Int64Array
    left: Int64Array
    channel: Int64Array


def side_limits(length: int) -> tuple[int, int]:
    """Return the shortest and the longest side of a box in an input of ``length`` rows or columns; spec 4.1."""
    least = max(1, length // 9)
    return least, max(least, 3 * length // 7)


def boxes(projection: BoxProjection) -> Boxes:
    """Return the boxes of every row; spec 4.1."""
    height, width, channels = projection.shape
    rows = np.asarray(projection.rows, np.int64)[:, None] * (BOXES * _NUMBERS) + np.arange(BOXES) * _NUMBERS

    def pick(number: int, count: int | Int64Array) -> Int64Array:
        """Return a number in 0..count-1 for each box."""
        high = (mix(projection.seed, STREAM, rows + number) >> np.uint32(16)).astype(np.int64)
        return (high * count) >> 16

    def side(number: int, length: int) -> Int64Array:
        least, most = side_limits(length)
        return least + pick(number, most - least + 1)

    tall, wide = side(0, height), side(1, width)
    return Boxes(tall, wide, pick(2, height - tall + 1), pick(3, width - wide + 1), pick(4, channels))


def coefficients(projection: BoxProjection) -> Int8Array:
    """Return the vectors p ``[T * d, H * W * C]`` with values in -1, 0, 1; spec 4.1."""
    found = boxes(projection)
    table = np.zeros((projection.features, *projection.shape), np.int8)
    for r, row in enumerate(table):
        for b, sign in enumerate(SIGNS):
            top, left = found.top[r, b], found.left[r, b]
            row[top : top + found.height[r, b], left : left + found.width[r, b], found.channel[r, b]] += np.int8(sign)
    return table.reshape(projection.features, -1)


def project(projection: BoxProjection, x: npt.NDArray[np.integer]) -> Int8Array:
    """Return signs +1 or -1, int8 ``[batch, T * d]``, of integers ``x`` ``[batch, H, W, C]``; spec 4.2.

    Every corner of a box is read from a table of the sums over all that lies above and to the left of it (Crow 1984).

    Raises:
        ValueError: another shape.
    """
    if x.shape[1:] != projection.shape:
        raise ValueError(f"x is [batch, {projection.shape}]: received shape={x.shape}; bring one input for each example")
    height, width, channels = projection.shape
    areas = np.pad(x.astype(np.int64), ((0, 0), (1, 0), (1, 0), (0, 0))).cumsum(axis=1).cumsum(axis=2)
    areas = areas.reshape(len(x), (height + 1) * (width + 1) * channels)
    found, row, column = boxes(projection), (width + 1) * channels, channels
    begin = found.top * row + found.left * column + found.channel
    down, right = found.height * row, found.width * column
    sums = areas[:, begin] - areas[:, begin + down] - areas[:, begin + right] + areas[:, begin + down + right]
    return np.where(sums[..., 0] > sums[..., 1], 1, -1).astype(np.int8)
