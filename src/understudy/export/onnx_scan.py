"""The recurrence in ONNX operators: uint8 ``[1, 2 * E, T, 1]`` with zero point 128 to states ``[1, E, T, 1]`` of the same.

The operator Scan takes one step after the other. All numbers are integers below 2^16, or such and 256ths, which float32 holds.
"""

from __future__ import annotations

from onnx import GraphProto, ValueInfoProto, helper

from understudy.export.onnx_writer import FLOAT, INT64, UINT8, OnnxWriter


def write_scan(writer: OnnxWriter, x: str, *, columns: int) -> str:
    """Append the recurrence over the uint8 tensor ``x``, and return the name of the states."""

    def number(value: float) -> str:
        return writer.constant(value, FLOAT)

    inflow, candidates = writer.split(writer.node("Cast", [x], to=FLOAT), axis=1)
    arriving = writer.node("Mul", [inflow, writer.node("Sub", [candidates, number(128)])])
    kept = writer.node("Sub", [number(1), writer.node("Mul", [inflow, number(1 / 256)])])
    begin = writer.node("ConstantOfShape", [writer.constant([1, columns, 1], INT64)])
    # the half rounds to the nearest where a step rounds down
    inputs = [begin, kept, writer.node("Add", [arriving, number(0.5)])]
    _, states = writer.scan(_step(writer, columns), inputs, axis=2)
    rounded = writer.node("Floor", [writer.node("Add", [writer.node("Mul", [states, number(1 / 256)]), number(128.5)])])
    return writer.node("Cast", [rounded], to=UINT8)


def write_real_scan(writer: OnnxWriter, x: str, *, columns: int) -> str:
    """Append the recurrence over the float32 tensor ``x``, and return the name of the states, which are not rounded."""

    def number(value: float) -> str:
        return writer.constant(value, FLOAT)

    gates, candidates = writer.split(x, axis=1)
    inflow = writer.node("Mul", [writer.node("Add", [gates, number(1)]), number(0.5)])
    kept = writer.node("Sub", [number(1), inflow])
    begin = writer.node("ConstantOfShape", [writer.constant([1, columns, 1], INT64)])
    inputs = [begin, kept, writer.node("Mul", [inflow, candidates])]
    return writer.scan(_step(writer, columns, last="Identity"), inputs, axis=2)[1]


def _step(writer: OnnxWriter, columns: int, *, last: str = "Floor") -> GraphProto:
    """Return ``state = last(state * kept + arriving)``, which it gives twice: for the next step, and as an output."""
    state, kept, arriving, product, total, rounded, copy = (writer.name() for _ in range(7))
    nodes = [
        helper.make_node("Mul", [state, kept], [product]),
        helper.make_node("Add", [product, arriving], [total]),
        helper.make_node(last, [total], [rounded]),
        helper.make_node("Identity", [rounded], [copy]),
    ]

    def values(*names: str) -> list[ValueInfoProto]:
        return [helper.make_tensor_value_info(name, FLOAT, [1, columns, 1]) for name in names]

    return helper.make_graph(nodes, "s", values(state, kept, arriving), values(rounded, copy))
