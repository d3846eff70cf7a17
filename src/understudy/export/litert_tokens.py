"""Nodes over tokens in LiteRT operators; islands take and give real tensors with their channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from understudy.export.litert_flatbuffer import FLOAT32, INT32, FlatbufferWriter, Options


def write_positions(
    writer: FlatbufferWriter,
    source: int,
    output: int,
    *,
    padded: Callable[[tuple[int, ...]], int],
    table: Callable[[tuple[int, ...]], int],
) -> int:
    """Append the sum of ``source`` ``[1, H, W, C]``, behind zeros if ``output`` has more rows, and a table, as ``output``.

    Both tensors are made in a shape: what ``source`` is with its zeros, and the constant.
    """
    _, rows, width, channels = writer.shape(output)
    lead = rows * width - writer.shape(source)[1] * writer.shape(source)[2]
    if lead:
        pads = writer.tensor((4, 2), INT32, data=np.asarray([[0, 0], [lead, 0], [0, 0], [0, 0]], np.int32))
        source = writer.operator("PAD", [source, pads], padded((1, rows, 1, channels)), ("PadOptions", {}))
    return writer.operator("ADD", [source, table(writer.shape(output))], output, ("AddOptions", {}))


def write_place(writer: FlatbufferWriter, rows: int, index: int, output: int) -> int:
    """Append the row ``index`` of ``[1, 1, places, C]`` as ``output``."""
    begin, size = (np.asarray(each, np.int32) for each in ((0, 0, index, 0), writer.shape(output)))
    inputs = [rows, writer.tensor((4,), INT32, data=begin), writer.tensor((4,), INT32, data=size)]
    return writer.operator("SLICE", inputs, output, ("SliceOptions", {}))


def write_layer_norm(writer: FlatbufferWriter, x: int, *, epsilon: float) -> int:
    """Append a layer norm over the last axis."""
    shape = writer.shape(x)
    axis = writer.tensor((1,), INT32, data=np.asarray([len(shape) - 1], np.int32))
    keep: Options = ("ReducerOptions", {"keepDims": True})

    def whole() -> int:
        return writer.tensor(shape, FLOAT32)

    def single() -> int:
        return writer.tensor((*shape[:-1], 1), FLOAT32)

    mean = writer.operator("MEAN", [x, axis], single(), keep)
    squares = writer.operator("SQUARED_DIFFERENCE", [x, mean], whole(), ("SquaredDifferenceOptions", {}))
    variance = writer.operator("MEAN", [squares, axis], single(), keep)
    small = writer.tensor((), FLOAT32, data=np.asarray(epsilon, np.float32))
    raised = writer.operator("ADD", [variance, small], single(), ("AddOptions", {}))
    factor = writer.operator("RSQRT", [raised], single())
    centred = writer.operator("SUB", [x, mean], whole(), ("SubOptions", {}))
    return writer.operator("MUL", [centred, factor], whole(), ("MulOptions", {}))


def write_attention(writer: FlatbufferWriter, inputs: Sequence[int], *, heads: int, factor: float) -> int:
    """Append the attention between queries, keys and values ``[1, H, W, C]``, and return what has the shape of the last."""
    result = writer.shape(inputs[2])
    places = result[1] * result[2]
    queries, keys, values = (_heads(writer, x, heads=heads, places=places) for x in inputs)
    square = (1, heads, places, places)
    scores = writer.operator(
        "BATCH_MATMUL", [queries, keys], writer.tensor(square, FLOAT32), ("BatchMatMulOptions", {"adjY": True})
    )
    weights = writer.operator("SOFTMAX", [scores], writer.tensor(square, FLOAT32), ("SoftmaxOptions", {"beta": factor}))
    mixed = writer.tensor(writer.shape(values), FLOAT32)
    mixed = writer.operator("BATCH_MATMUL", [weights, values], mixed, ("BatchMatMulOptions", {}))
    return _reshaped(writer, _exchanged(writer, mixed), result)


def _heads(writer: FlatbufferWriter, x: int, *, heads: int, places: int) -> int:
    """Return ``[1, H, W, C]`` as ``[1, heads, places, C / heads]``."""
    return _exchanged(writer, _reshaped(writer, x, (1, places, heads, writer.shape(x)[-1] // heads)))


def _exchanged(writer: FlatbufferWriter, x: int) -> int:
    """Return ``x`` with its two middle axes exchanged."""
    first, one, other, last = writer.shape(x)
    order = writer.tensor((4,), INT32, data=np.asarray([0, 2, 1, 3], np.int32))
    target = writer.tensor((first, other, one, last), FLOAT32)
    return writer.operator("TRANSPOSE", [x, order], target, ("TransposeOptions", {}))


def _reshaped(writer: FlatbufferWriter, x: int, shape: Sequence[int]) -> int:
    options: Options = ("ReshapeOptions", {"newShape": list(shape)})
    return writer.operator("RESHAPE", [x], writer.tensor(shape, FLOAT32), options)
