"""The projection by boxes as a handful of exact float operators: what the graph formats have in common.

A matrix ``[T * d, H * W * C]`` is nowhere stored or made. Sums over boxes come from a table of the sums over all that lies
above and to the left (Crow 1984), of which each box reads four corners. The corners follow in the graph from where a box
begins, 16 bits where they suffice, and its two sides, 4 bits each where they fit. So a sign of an image of up to 64 x 64 pixels
takes 6 bytes or 8, and 256 signs at most 2 KB.

1. ``areas = cumsum(cumsum(pad(q - zp)))``: integers below 2**24, which float32 represents exactly.
2. ``corners = sides @ side_steps.T + begin @ begin_steps.T``, 8 for each row; ``begin`` counts the values of ``areas``.
3. ``sums = areas[corners] @ CORNER_SIGNS``, ``sign(sums - 1/2)``: a sum is an integer, so the middle has no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.projections.boxes import BoxProjection, boxes, side_limits

IntegerArray = npt.NDArray[np.int64]

CONSTANTS = "projection constants"
"""Row of a byte table: what follows from the seed."""
CORNER_SIGNS = np.asarray([1, -1, -1, 1, -1, 1, 1, -1])
_SHORT = 2**15
_NIBBLE = 15


@dataclass(frozen=True, eq=False)
class BoxGraph:
    """The integers that the steps above need.

    Attributes:
        begin: ``[rows, 2]``: where each box's first corner stands.
        sides: ``[rows, 4]``: height and width of both boxes.
        begin_steps: ``[8, 2]``.
        side_steps: ``[8, 4]``: how far a corner is from the first one.
        nibbles: all sides that a row of this shape may have fit in 4 bits.
        short: ``begin`` fits in 16 bits.
    """

    begin: IntegerArray
    sides: IntegerArray
    begin_steps: IntegerArray
    side_steps: IntegerArray
    nibbles: bool
    short: bool


def box_graph(projection: BoxProjection, *, channels_first: bool) -> BoxGraph:
    """Return the integers of ``projection``'s steps for areas ``[C, H + 1, W + 1]`` or ``[H + 1, W + 1, C]``."""
    height, width, channels = projection.shape
    down, right, aside = (width + 1, 1, (height + 1) * (width + 1)) if channels_first else ((width + 1) * channels, channels, 1)
    found = boxes(projection)
    corner = np.zeros((2, 4, 4), np.int64)
    for box in range(2):
        corner[box, [1, 3], 2 * box] = down
        corner[box, [2, 3], 2 * box + 1] = right
    return BoxGraph(
        begin=found.top * down + found.left * right + found.channel * aside,
        sides=np.stack([found.height, found.width], axis=2).reshape(-1, 4),
        begin_steps=np.repeat(np.eye(2, dtype=np.int64), 4, axis=0),
        side_steps=corner.reshape(8, 4),
        nibbles=max(side_limits(height)[1], side_limits(width)[1]) <= _NIBBLE,
        short=(height + 1) * (width + 1) * channels <= _SHORT,
    )
