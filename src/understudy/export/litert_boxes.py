"""The projection by boxes in LiteRT operators: int8 or uint8 ``[1, H, W, C]`` to int8 features ``[P, 1]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.export.box_graph import CONSTANTS, CORNER_SIGNS, box_graph
from understudy.export.litert_flatbuffer import FLOAT32, INT4, INT8, INT16, INT32, FlatbufferWriter, Options
from understudy.projections.boxes import BoxProjection

_OFFSET = 8
"""What 4-bit integers are stored below."""
_FULLY_CONNECTED: Options = ("FullyConnectedOptions", {})


def write_box_projection(writer: FlatbufferWriter, projection: BoxProjection, x: int, *, zero_point: int) -> int:
    """Append the operators of ``projection``, which reads the integers of ``x``, and return the tensor of features."""
    graph, rows = box_graph(projection, channels_first=False), projection.features
    height, width, channels = projection.shape

    def real(code: str, inputs: Sequence[int], shape: Sequence[int], options: Options | None = None) -> int:
        return writer.operator(code, inputs, writer.tensor(shape, FLOAT32), options)

    def number(value: float) -> int:
        return writer.tensor((), FLOAT32, data=np.asarray(value, np.float32))

    def product(x: int, weights: np.ndarray, shape: tuple[int, int]) -> int:
        stored = writer.tensor(weights.shape, FLOAT32, data=weights.astype(np.float32))
        return real("FULLY_CONNECTED", [x, stored, -1], shape, _FULLY_CONNECTED)

    # a cast takes the integers as they are, where DEQUANTIZE would multiply them and make their sums inexact
    pixels = real("CAST", [x], (1, height, width, channels))
    if zero_point:
        pixels = real("SUB", [pixels, number(zero_point)], (1, height, width, channels), ("SubOptions", {}))
    pads = np.asarray([[0, 0], [1, 0], [1, 0], [0, 0]], np.int32)
    shape = (1, height + 1, width + 1, channels)
    areas = real("PAD", [pixels, writer.tensor(pads.shape, INT32, data=pads)], shape, ("PadOptions", {}))
    for axis in (1, 2):
        along = writer.tensor((), INT32, data=np.asarray(axis, np.int32))
        areas = real("CUMSUM", [areas, along], shape, ("CumsumOptions", {}))
    count = (height + 1) * (width + 1) * channels
    areas = real("RESHAPE", [areas], (count,), ("ReshapeOptions", {"newShape": [count]}))
    writer.owner = CONSTANTS
    if graph.nibbles:
        stored = writer.tensor((rows, 4), INT4, scale=1, zero_point=-_OFFSET, data=graph.sides - _OFFSET)
        sides = real("DEQUANTIZE", [stored], (rows, 4))
    else:
        sides = real("CAST", [writer.tensor((rows, 4), INT8, data=graph.sides.astype(np.int8))], (rows, 4))
    kind, dtype = (INT16, np.int16) if graph.short else (INT32, np.int32)
    begin = real("CAST", [writer.tensor((rows, 2), kind, data=graph.begin.astype(dtype))], (rows, 2))
    writer.owner = ""
    steps = [product(sides, graph.side_steps, (rows, 8)), product(begin, graph.begin_steps, (rows, 8))]
    corners = writer.operator("CAST", [real("ADD", steps, (rows, 8), ("AddOptions", {}))], writer.tensor((rows, 8), INT32))
    found = real("GATHER", [areas, corners], (rows, 8), ("GatherOptions", {"axis": 0}))
    sums = real("SUB", [product(found, CORNER_SIGNS[None], (rows, 1)), number(0.5)], (rows, 1), ("SubOptions", {}))
    return writer.operator("QUANTIZE", [real("SIGN", [sums], (rows, 1))], writer.tensor((rows, 1), INT8, scale=1))
