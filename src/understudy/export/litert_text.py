"""The text hash in LiteRT operators: bytes int32 ``[1, L]`` to int8 features ``[1, 1, W, P]`` or ``[1, 1, 1, P]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.export.box_graph import CONSTANTS
from understudy.export.litert_flatbuffer import BOOL, FLOAT32, INT4, INT8, INT32, FlatbufferWriter, Options
from understudy.export.text_graph import BEFORE, SIGN_SCALE, SLOTS, TABLES, Group, TextGraph, text_graph
from understudy.projections.text import TextProjection

IntegerArray = npt.NDArray[np.int64]

_RELU, _CLAMP = 1, 2
"""Fused activations RELU and RELU_N1_TO_1 of the schema."""


def write_text_projection(writer: FlatbufferWriter, projection: TextProjection, byte_ids: int) -> int:
    """Append the operators of ``projection`` and return the tensor of int8 features."""
    return _TextWriter(writer, projection).features(byte_ids)


_FULLY_CONNECTED: Options = ("FullyConnectedOptions", {"keepNumDims": True})
_CLAMPED: Options = ("FullyConnectedOptions", {"keepNumDims": True, "fusedActivationFunction": _CLAMP})


class _TextWriter:
    def __init__(self, writer: FlatbufferWriter, projection: TextProjection) -> None:
        self._writer = writer
        self._projection = projection
        self._graph: TextGraph = text_graph(projection)
        self._length, self._words = projection.max_bytes, projection.max_words

    def features(self, byte_ids: int) -> int:
        graph, writer = self._graph, self._writer
        writer.owner = TABLES
        windows = self._windows(byte_ids)
        member = self._member(windows)
        writer.owner = CONSTANTS
        signs = None
        if graph.level_one is not None:
            signs = self._digits(self._product(windows, graph.level_one, scale=1 / 16), orders=len(self._projection.orders))
        digests = None
        if graph.word_level is not None:
            digests = self._word_digests(member, self._product(windows, graph.word_level, scale=1 / 16))
        rows = []
        for group in graph.groups:
            if group.kind == "character":
                assert signs is not None
                sums = self._pool(member, self._reduce(self._signs(signs, group, scale=SIGN_SCALE), axis=3))
            else:
                assert digests is not None
                sums = self._pairs(digests, group) if group.gap else self._signs(digests, group, scale=SIGN_SCALE / 16)
            if self._projection.pooling == "utterance" and not group.gap:
                sums = self._reduce(sums, axis=2, keep=True)
            rows.append(sums)
        joined = rows[0]
        if len(rows) > 1:
            shape = (*writer.shape(joined)[:3], sum(writer.shape(row)[3] for row in rows))
            joined = self._float("CONCATENATION", rows, shape, ("ConcatenationOptions", {"axis": 3}))
        writer.owner = TABLES
        return self._values(joined)

    def _windows(self, byte_ids: int) -> int:
        """Steps 1 and 2."""
        graph, writer = self._graph, self._writer
        codes = writer.tensor((1, 1, self._length, 4), INT4, scale=1, zero_point=-8)
        table = writer.tensor((1, *graph.code_table.shape), INT4, scale=1, zero_point=-8, data=graph.code_table - 8)
        writer.operator("GATHER", [table, byte_ids], codes, ("GatherOptions", {"axis": 1}))
        values = self._float("DEQUANTIZE", [codes], (1, 1, self._length, 4))
        # padding is SAME, so that the kernel is centred on t: as many zero taps before t as the window has after it
        channels, taps, columns = graph.window_kernel.shape
        reach = max(BEFORE, taps - BEFORE - 1)
        kernel = np.zeros((channels, 1, 2 * reach + 1, columns), np.int64)
        kernel[:, 0, reach - BEFORE : reach - BEFORE + taps] = graph.window_kernel
        bias = writer.tensor((channels,), FLOAT32, data=graph.window_bias.astype(np.float32))
        return self._float(
            "CONV_2D",
            [values, self._dequantized(kernel), bias],
            (1, 1, self._length, channels),
            ("Conv2DOptions", {"padding": 0, "strideW": 1, "strideH": 1, "fusedActivationFunction": _RELU}),
        )

    def _member(self, windows: int) -> int:
        """Step 5: float ``[1, 1, L, W]``."""
        writer = self._writer
        weights = writer.tensor((1, len(self._graph.start)), FLOAT32, data=self._graph.start.astype(np.float32))
        start = self._float("FULLY_CONNECTED", [windows, weights, -1], (1, 1, self._length, 1), _CLAMPED)
        slot = self._float("CUMSUM", [start, self._integer(2)], writer.shape(start), ("CumsumOptions", {}))
        numbers = writer.tensor((self._words,), FLOAT32, data=np.arange(1, self._words + 1, dtype=np.float32))
        equal = writer.tensor((1, 1, self._length, self._words), BOOL)
        writer.operator("EQUAL", [slot, numbers], equal)
        return self._float("CAST", [equal], writer.shape(equal))

    def _digits(self, products: int, *, orders: int) -> int:
        digits = self._fraction(products)
        shape = (1, 1, self._length, orders, SLOTS)
        return self._float("RESHAPE", [digits], shape, ("ReshapeOptions", {"newShape": list(shape)}))

    def _word_digests(self, member: int, products: int) -> int:
        """Return the digits 0..15 of each word, not divided by 16: two operators where floor and products would take five."""
        digests = self._pool(member, self._fraction(products))
        for code, divisor in (("FLOOR_DIV", 1 / 4), ("FLOOR_MOD", 16)):
            constant = self._writer.tensor((), FLOAT32, data=np.asarray(divisor, np.float32))
            digests = self._float(code, [digests, constant], self._writer.shape(digests))
        return digests

    def _fraction(self, x: int) -> int:
        """Return ``x - floor(x)``."""
        floor = self._float("FLOOR", [x], self._writer.shape(x))
        return self._float("SUB", [x, floor], self._writer.shape(x), ("SubOptions", {}))

    def _signs(self, digits: int, group: Group, *, scale: float) -> int:
        """Step 4."""
        return self._sign_of(self._product(digits, group.level_two, scale=scale, offset=9))

    def _sign_of(self, y: int) -> int:
        shape = self._writer.shape(y)
        rounded = self._float("ROUND", [y], shape)
        return self._float("SIGN", [self._float("SUB", [y, rounded], shape, ("SubOptions", {}))], shape)

    def _pairs(self, digests: int, group: Group) -> int:
        """Return the summed signs ``[1, 1, 1, features]`` of all pairs whose second word exists."""
        writer, count = self._writer, self._words - group.gap
        kernel = self._dequantized(group.level_two[:, None], scale=SIGN_SCALE / 16, offset=9)
        options = {"padding": 1, "strideW": 1, "strideH": 1, "dilationWFactor": group.gap, "dilationHFactor": 1}
        bias = writer.tensor((len(group.level_two),), FLOAT32, data=np.zeros(len(group.level_two), np.float32))
        y = self._float("CONV_2D", [digests, kernel, bias], (1, 1, count, len(group.level_two)), ("Conv2DOptions", options))
        begin = writer.tensor((4,), INT32, data=np.asarray([0, 0, group.gap, SLOTS - 1], np.int32))
        size = writer.tensor((4,), INT32, data=np.asarray([1, 1, count, 1], np.int32))
        present = self._float("SLICE", [digests, begin, size], (1, 1, count, 1))
        return self._pool(present, self._sign_of(y))

    def _values(self, sums: int) -> int:
        """Return int8 features; spec/projection.md 2.7."""
        writer, shape = self._writer, self._writer.shape(sums)
        if self._projection.values == "ternary":
            sums = self._float("RELU_N1_TO_1", [sums], shape)
        elif self._projection.values == "binary":
            half = writer.tensor((), FLOAT32, data=np.asarray(0.5, np.float32))
            sums = self._float("SIGN", [self._float("ADD", [sums, half], shape, ("AddOptions", {}))], shape)
        return writer.operator("QUANTIZE", [sums], writer.tensor(shape, INT8, scale=1))

    def _pool(self, weights: int, rows: int) -> int:
        """Return ``weights.T @ rows`` over the second last axis."""
        shape = (1, 1, self._writer.shape(weights)[3], self._writer.shape(rows)[3])
        return self._float("BATCH_MATMUL", [weights, rows], shape, ("BatchMatMulOptions", {"adjX": True}))

    def _reduce(self, x: int, *, axis: int, keep: bool = False) -> int:
        shape = list(self._writer.shape(x))
        shape[axis : axis + 1] = [1] if keep else []
        return self._float("SUM", [x, self._integer(axis)], shape, ("ReducerOptions", {"keepDims": keep}))

    def _product(self, x: int, weights: IntegerArray, *, scale: float, offset: int = 0) -> int:
        """Return ``x @ weights.T * scale``; weights - offset are stored in 4 bits."""
        shape = (*self._writer.shape(x)[:-1], len(weights))
        inputs = [x, self._dequantized(weights, scale=scale, offset=offset), -1]
        return self._float("FULLY_CONNECTED", inputs, shape, _FULLY_CONNECTED)

    def _dequantized(self, values: IntegerArray, *, scale: float = 1.0, offset: int = 0) -> int:
        stored = self._writer.tensor(values.shape, INT4, scale=scale, zero_point=-offset, data=values - offset)
        return self._float("DEQUANTIZE", [stored], values.shape)

    def _integer(self, value: int) -> int:
        return self._writer.tensor((), INT32, data=np.asarray(value, np.int32))

    def _float(self, code: str, inputs: Sequence[int], shape: Sequence[int], options: Options | None = None) -> int:
        return self._writer.operator(code, inputs, self._writer.tensor(shape, FLOAT32), options)
