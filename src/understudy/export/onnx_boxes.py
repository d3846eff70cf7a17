"""The projection by boxes in ONNX operators: uint8 ``[1, C, H, W]`` to features ``[1, P, 1]``, uint8 with zero point 128."""

from __future__ import annotations

from understudy.export.box_graph import CONSTANTS, CORNER_SIGNS, box_graph
from understudy.export.onnx_writer import FLOAT, INT8, INT16, INT32, INT64, UINT4, UINT8, OnnxWriter
from understudy.projections.boxes import BoxProjection


def write_box_projection(writer: OnnxWriter, projection: BoxProjection, x: str, *, zero_point: int) -> str:
    """Append the nodes of ``projection``, which reads the uint8 tensor ``x``, and return the name of the features."""
    graph, node = box_graph(projection, channels_first=True), writer.node
    real = node("Cast", [x], to=FLOAT)
    if zero_point:
        real = node("Sub", [real, writer.constant(zero_point, FLOAT)])
    areas = node("Pad", [real, writer.constant([0, 0, 1, 1, 0, 0, 0, 0], INT64)])
    for axis in (2, 3):
        areas = node("CumSum", [areas, writer.constant(axis, INT32)])
    areas = node("Reshape", [areas, writer.constant([-1], INT64)])
    writer.owner = CONSTANTS
    sides = node("Cast", [writer.constant(graph.sides[None], UINT4 if graph.nibbles else UINT8)], to=FLOAT)
    begin = node("Cast", [writer.constant(graph.begin[None], INT16 if graph.short else INT32)], to=FLOAT)
    writer.owner = ""
    corners = node(
        "Add",
        [
            node("MatMul", [sides, writer.constant(graph.side_steps.T, FLOAT)]),
            node("MatMul", [begin, writer.constant(graph.begin_steps.T, FLOAT)]),
        ],
    )
    found = node("Gather", [areas, node("Cast", [corners], to=INT32)], axis=0)
    signs = node("Cast", [writer.constant(CORNER_SIGNS[:, None], INT8)], to=FLOAT)
    sums = node("Sub", [node("MatMul", [found, signs]), writer.constant(0.5, FLOAT)])
    return node("QuantizeLinear", [node("Sign", [sums]), writer.constant(1, FLOAT), writer.constant(128, UINT8)])
