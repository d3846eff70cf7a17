"""The projection by boxes in Core ML operators: float32 ``q - zero_point`` ``[1, C, H, W]`` to features ``[1, P, 1, 1]``."""

from __future__ import annotations

import numpy as np

from understudy.export.box_graph import CONSTANTS, CORNER_SIGNS, box_graph
from understudy.export.coreml_messages import MIL
from understudy.export.coreml_text import integers
from understudy.export.coreml_writer import CoremlWriter
from understudy.projections.boxes import BoxProjection


def write_box_projection(writer: CoremlWriter, projection: BoxProjection, x: str) -> str:
    """Append the operators of ``projection`` and return the name of the features."""
    graph, rows = box_graph(projection, channels_first=True), projection.features
    height, width, channels = projection.shape
    shape = (1, channels, height + 1, width + 1)

    def product(x: str, weights: np.ndarray) -> str:
        inputs = {"x": x, "y": writer.floats(weights)}
        return writer.operator("matmul", inputs, (rows, weights.shape[1]), transpose_x=False, transpose_y=False)

    pads = integers(0, 0, 0, 0, 1, 0, 1, 0)
    areas = writer.operator("pad", {"x": x}, shape, pad=pads, mode="constant", constant_val=np.float32(0))
    for axis in (2, 3):
        areas = writer.operator("cumsum", {"x": areas}, shape, axis=np.int32(axis), exclusive=False, reverse=False)
    count = int(np.prod(shape))
    areas = writer.operator("reshape", {"x": areas}, (count,), shape_=integers(count))
    writer.owner = CONSTANTS
    sides = writer.nibbles(graph.sides, table=np.arange(16)) if graph.nibbles else writer.bytes8(graph.sides)
    # there are no wider integers among constants, so a place is two bytes or three
    factors = 256 ** np.arange(2 if graph.short else 3)
    places = (graph.begin[:, :, None] // factors % 256).reshape(rows, -1)
    begin = writer.bytes8(places - 128, zero_point=-128)
    writer.owner = ""
    begin_steps = (graph.begin_steps[:, :, None] * factors).reshape(8, -1)
    inputs = {"x": product(sides, graph.side_steps.T), "y": product(begin, begin_steps.T)}
    corners = writer.operator("add", inputs, (rows, 8))
    corners = writer.operator("cast", {"x": corners}, (rows, 8), data_type=MIL.INT32, dtype="int32")
    found = writer.operator("gather", {"x": areas, "indices": corners}, (rows, 8), axis=np.int32(0))
    sums = product(found, CORNER_SIGNS[:, None])
    sums = writer.operator("sub", {"x": sums}, (rows, 1), y=np.asarray(0.5, np.float32))
    signs = writer.operator("sign", {"x": sums}, (rows, 1))
    return writer.operator("reshape", {"x": signs}, (1, rows, 1, 1), shape_=integers(1, rows, 1, 1))
