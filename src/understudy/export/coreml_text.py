"""The text hash in Core ML operators: bytes int32 ``[1, L]`` to features float32 ``[1, P, 1, W]`` or ``[1, P, 1, 1]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.export.box_graph import CONSTANTS
from understudy.export.coreml_messages import MIL
from understudy.export.coreml_writer import CoremlWriter
from understudy.export.text_graph import BEFORE, SIGN_SCALE, SLOTS, TABLES, Group, TextGraph, text_graph
from understudy.projections.text import TextProjection

IntegerArray = npt.NDArray[np.int64]

_UNSIGNED, _SIGNED, _POSITIVE = np.arange(16), np.arange(-8, 8), np.arange(1, 17)
"""What the 16 values of a nibble stand for."""


def write_text_projection(writer: CoremlWriter, projection: TextProjection, byte_ids: str) -> str:
    """Append the operators of ``projection`` and return the name of the features."""
    return _TextWriter(writer, projection).features(byte_ids)


def integers(*values: int) -> npt.NDArray[np.int32]:
    """Return a list parameter."""
    return np.asarray(values, np.int32)


class _TextWriter:
    """Channels stand before positions: windows ``[1, channels, 1, L]``, rows ``[1, P, W]``."""

    def __init__(self, writer: CoremlWriter, projection: TextProjection) -> None:
        self._writer = writer
        self._projection = projection
        self._graph: TextGraph = text_graph(projection)
        self._length, self._words = projection.max_bytes, projection.max_words

    def features(self, byte_ids: str) -> str:
        graph = self._graph
        self._writer.owner = TABLES
        windows = self._windows(byte_ids)
        member = self._member(windows)
        self._writer.owner = CONSTANTS
        signs = None
        if graph.level_one is not None:
            digits = self._fraction(self._pointwise(windows, graph.level_one))
            signs = self._reshape(digits, (len(self._projection.orders), SLOTS, self._length))
        digests = None
        if graph.word_level is not None:
            positions = self._reshape(self._fraction(self._pointwise(windows, graph.word_level)), (1, SLOTS, self._length))
            digests = self._fraction(
                self._scaled(self._same("floor", self._scaled(self._matmul(positions, member), 4)), 1 / 16)
            )
        rows = []
        for group in graph.groups:
            if group.kind == "character":
                assert signs is not None
                sums = self._matmul(self._reduce(self._signs(signs, group), axis=0), member)
            else:
                assert digests is not None
                sums = self._pairs(digests, group) if group.gap else self._signs(digests, group)
            if self._projection.pooling == "utterance" and not group.gap:
                sums = self._reduce(sums, axis=2)
            rows.append(sums)
        self._writer.owner = TABLES
        return self._values(self._joined(rows))

    def _windows(self, byte_ids: str) -> str:
        """Steps 1 and 2."""
        graph, writer = self._graph, self._writer
        table = writer.nibbles(graph.code_table.T[None], table=_UNSIGNED)
        kernel = writer.nibbles(graph.window_kernel.transpose(0, 2, 1)[:, :, None] + 8, table=_SIGNED)
        codes = writer.operator("gather", {"x": table, "indices": byte_ids}, (1, 4, 1, self._length), axis=np.int32(2))
        channels, taps, _ = graph.window_kernel.shape
        inputs = {"x": codes, "weight": kernel, "bias": writer.floats(graph.window_bias)}
        found = writer.operator(
            "conv",
            inputs,
            (1, channels, 1, self._length),
            strides=integers(1, 1),
            dilations=integers(1, 1),
            groups=np.int32(1),
            pad_type="custom",
            pad=integers(0, 0, BEFORE, taps - BEFORE - 1),
        )
        return self._same("relu", found)

    def _member(self, windows: str) -> str:
        """Step 5: float ``[L, W]``."""
        writer = self._writer
        start = self._clip(self._valid_conv(windows, writer.floats(self._graph.start[None, :, None, None])), -1, 1)
        slot = self._reshape(start, (self._length, 1))
        slot = writer.operator("cumsum", {"x": slot}, (self._length, 1), axis=np.int32(0), exclusive=False, reverse=False)
        numbers, shape = writer.floats(np.arange(1, self._words + 1)), (self._length, self._words)
        equal = writer.operator("equal", {"x": slot, "y": numbers}, shape, data_type=MIL.BOOL)
        return writer.operator("cast", {"x": equal}, shape, dtype="fp32")

    def _pointwise(self, windows: str, weights: IntegerArray) -> str:
        """Return ``weights @ windows / 16``."""
        return self._valid_conv(windows, self._writer.nibbles(weights[:, :, None, None] + 8, table=_SIGNED / 16))

    def _valid_conv(self, x: str, weight: str, *, dilation: int = 1) -> str:
        """Return the convolution with ``weight`` without padding, along positions."""
        outputs, _, _, taps = self._writer.shape(weight)
        length = self._writer.shape(x)[3] - (taps - 1) * dilation
        return self._writer.operator(
            "conv",
            {"x": x, "weight": weight},
            (1, outputs, 1, length),
            strides=integers(1, 1),
            dilations=integers(1, dilation),
            groups=np.int32(1),
            pad_type="valid",
            pad=integers(0, 0, 0, 0),
        )

    def _scaled(self, x: str, factor: float) -> str:
        return self._writer.operator("mul", {"x": x}, self._writer.shape(x), y=np.asarray(factor, np.float32))

    def _fraction(self, x: str) -> str:
        """Return ``x - floor(x)``."""
        return self._difference(x, self._same("floor", x))

    def _difference(self, x: str, y: str) -> str:
        return self._writer.operator("sub", {"x": x, "y": y}, self._writer.shape(x))

    def _signs(self, digits: str, group: Group) -> str:
        """Step 4."""
        table = _POSITIVE * SIGN_SCALE
        return self._sign_of(self._matmul(self._writer.nibbles(group.level_two - 1, table=table), digits))

    def _sign_of(self, y: str) -> str:
        return self._same("sign", self._difference(y, self._same("round", y)))

    def _pairs(self, digests: str, group: Group) -> str:
        """Return the summed signs ``[1, features, 1]`` of all pairs whose second word exists."""
        writer, count = self._writer, self._words - group.gap
        kernel = writer.nibbles(group.level_two.transpose(0, 2, 1)[:, :, None] - 1, table=_POSITIVE * SIGN_SCALE)
        digests = self._reshape(digests, (1, SLOTS, 1, self._words))
        signs = self._sign_of(self._valid_conv(digests, kernel, dilation=group.gap))
        begin, end = integers(0, SLOTS - 1, 0, group.gap), integers(1, SLOTS, 1, self._words)
        present = self._same("sign", writer.operator("slice_by_index", {"x": digests}, (1, 1, 1, count), begin=begin, end=end))
        return self._matmul(self._reshape(signs, (1, len(group.level_two), count)), self._reshape(present, (count, 1)))

    def _joined(self, rows: Sequence[str]) -> str:
        if len(rows) == 1:
            return rows[0]
        shapes = [self._writer.shape(row) for row in rows]
        shape = (1, sum(shape[1] for shape in shapes), shapes[0][2])
        return self._writer.operator("concat", {"values": rows}, shape, axis=np.int32(1), interleave=False)

    def _values(self, sums: str) -> str:
        """Return features; spec/projection.md 2.7."""
        if self._projection.values == "binary":
            shape = self._writer.shape(sums)
            sums = self._same("sign", self._writer.operator("add", {"x": sums}, shape, y=np.asarray(0.5, np.float32)))
        else:
            sums = self._clip(sums, *((-1, 1) if self._projection.values == "ternary" else (-128, 127)))
        _, features, words = self._writer.shape(sums)
        return self._reshape(sums, (1, features, 1, words))

    def _clip(self, x: str, low: int, high: int) -> str:
        return self._writer.operator("clip", {"x": x}, self._writer.shape(x), alpha=np.float32(low), beta=np.float32(high))

    def _same(self, kind: str, x: str) -> str:
        """Append an operator that changes each value for itself."""
        return self._writer.operator(kind, {"x": x}, self._writer.shape(x))

    def _matmul(self, x: str, y: str) -> str:
        left, right = self._writer.shape(x), self._writer.shape(y)
        shape = (*max(left[:-2], right[:-2], key=len), left[-2], right[-1])
        return self._writer.operator("matmul", {"x": x, "y": y}, shape, transpose_x=False, transpose_y=False)

    def _reduce(self, x: str, *, axis: int) -> str:
        """Return sums over ``axis``, which stays with length 1."""
        shape = list(self._writer.shape(x))
        shape[axis] = 1
        return self._writer.operator("reduce_sum", {"x": x}, shape, axes=integers(axis), keep_dims=True)

    def _reshape(self, x: str, shape: tuple[int, ...]) -> str:
        return self._writer.operator("reshape", {"x": x}, shape, shape_=integers(*shape))
