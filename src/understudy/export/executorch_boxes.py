"""The projection by boxes in ExecuTorch kernels: float32 ``q - zero_point`` ``[1, C, H, W]`` to features ``[1, P]``."""

from __future__ import annotations

import numpy as np

from understudy.export.box_graph import CONSTANTS, CORNER_SIGNS, box_graph
from understudy.export.executorch_flatbuffer import INT8, INT16, INT32, ExecutorchWriter, Tensor
from understudy.export.executorch_text import Nibbles
from understudy.projections.boxes import BoxProjection


def box_nibbles(projection: BoxProjection) -> Nibbles | None:
    """Return the sides of the boxes where 4 bits hold them."""
    graph = box_graph(projection, channels_first=True)
    return Nibbles(CONSTANTS, graph.sides, 0) if graph.nibbles else None


def write_box_projection(writer: ExecutorchWriter, projection: BoxProjection, x: Tensor, sides: Tensor | None) -> Tensor:
    """Append the calls of ``projection`` and return its features; ``sides`` are those of ``box_nibbles``, spread."""
    graph, rows = box_graph(projection, channels_first=True), projection.features
    height, width, channels = projection.shape
    shape = (1, channels, height + 1, width + 1)
    areas = writer.call("aten::constant_pad_nd.out", x, [1, 0, 1, 0], 0, writer.tensor(shape))
    for axis in (2, 3):
        areas = writer.call("aten::cumsum.out", areas, axis, None, writer.tensor(shape))
    writer.owner = CONSTANTS
    if sides is None:
        stored = writer.constant(graph.sides, INT8)
        sides = writer.call("aten::_to_copy.out", stored, False, None, writer.tensor(stored.shape))
    stored = writer.constant(graph.begin, INT16 if graph.short else INT32)
    begin = writer.call("aten::_to_copy.out", stored, False, None, writer.tensor(stored.shape))
    writer.owner = ""

    def product(x: Tensor, weights: np.ndarray) -> Tensor:
        found = writer.tensor((rows, len(weights)))
        return writer.call("aten::linear.out", x, writer.constant(weights), None, found)

    corners = product(sides, graph.side_steps)
    writer.call("aten::add.out", corners, product(begin, graph.begin_steps), 1, corners)
    places = writer.call("aten::_to_copy.out", corners, False, None, writer.tensor((rows, 8), INT32))
    found = writer.tensor((rows, 8, 1))
    writer.call("aten::embedding.out", areas.view((areas.size, 1)), places, -1, False, False, found)
    sums = product(found.view((rows, 8)), CORNER_SIGNS[None])
    writer.call("aten::sub.Scalar_out", sums, 0.5, 1, sums)
    return writer.call("aten::sign.out", sums, sums).view((1, rows))
