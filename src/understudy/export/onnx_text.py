"""The text hash in ONNX operators: bytes int32 ``[1, L]`` to features ``[1, P, W]`` or ``[1, P, 1]``.

Features are uint8 with zero point 128.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.export.box_graph import CONSTANTS
from understudy.export.onnx_writer import FLOAT, INT4, INT8, INT64, UINT4, UINT8, OnnxWriter
from understudy.export.text_graph import BEFORE, SIGN_SCALE, SLOTS, TABLES, Group, TextGraph, text_graph
from understudy.projections.text import TextProjection

IntegerArray = npt.NDArray[np.int64]


def write_text_projection(writer: OnnxWriter, projection: TextProjection, byte_ids: str) -> str:
    """Append the nodes of ``projection`` and return the name of the features."""
    return _TextWriter(writer, projection).features(byte_ids)


class _TextWriter:
    """Channels stand before positions, as ONNX convolutions want: windows ``[1, channels, 1, L]``, rows ``[1, P, W]``."""

    def __init__(self, writer: OnnxWriter, projection: TextProjection) -> None:
        self._writer = writer
        self._projection = projection
        self._graph: TextGraph = text_graph(projection)

    def features(self, byte_ids: str) -> str:
        graph, node = self._graph, self._writer.node
        self._writer.owner = TABLES
        windows = self._windows(byte_ids)
        member = self._member(windows)
        self._writer.owner = CONSTANTS
        signs = None
        if graph.level_one is not None:
            digits = self._fraction(self._pointwise(windows, graph.level_one))
            signs = self._reshape(digits, (len(self._projection.orders), SLOTS, -1))
        digests = None
        if graph.word_level is not None:
            positions = self._reshape(self._fraction(self._pointwise(windows, graph.word_level)), (1, SLOTS, -1))
            sums = self._scaled(node("MatMul", [positions, member]), 4)
            digests = self._fraction(self._scaled(node("Floor", [sums]), 1 / 16))
        rows = []
        for group in graph.groups:
            if group.kind == "character":
                assert signs is not None
                total = node("ReduceSum", [self._signs(signs, group), self._integers([0])])
                sums = node("MatMul", [total, member])
            else:
                assert digests is not None
                sums = self._pairs(digests, group) if group.gap else self._signs(digests, group)
            if self._projection.pooling == "utterance" and not group.gap:
                sums = node("ReduceSum", [sums, self._integers([2])])
            rows.append(sums)
        self._writer.owner = TABLES
        return self._values(rows[0] if len(rows) == 1 else node("Concat", rows, axis=1))

    def _windows(self, byte_ids: str) -> str:
        """Steps 1 and 2."""
        graph, node = self._graph, self._writer.node
        table = self._folded(graph.code_table.T[None], UINT4)
        kernel = self._folded(graph.window_kernel.transpose(0, 2, 1)[:, :, None], INT4)
        bias = self._writer.constant(graph.window_bias, FLOAT)
        codes = node("Gather", [table, byte_ids], axis=2)
        after = graph.window_kernel.shape[1] - BEFORE - 1
        return node("Relu", [node("Conv", [codes, kernel, bias], pads=[0, BEFORE, 0, after])])

    def _member(self, windows: str) -> str:
        """Step 5: float ``[L, W]``."""
        node, graph = self._writer.node, self._graph
        weights = self._writer.constant(graph.start[None, :, None, None], FLOAT)
        start = self._clip(node("Conv", [windows, weights]))
        slot = node("CumSum", [self._reshape(start, (-1, 1)), self._writer.constant(0, INT64)])
        numbers = node("Cast", [self._writer.constant(np.arange(1, self._projection.max_words + 1), INT8)], to=FLOAT)
        return node("Cast", [node("Equal", [slot, numbers])], to=FLOAT)

    def _pointwise(self, windows: str, weights: IntegerArray) -> str:
        """Return ``weights @ windows / 16``."""
        return self._writer.node("Conv", [windows, self._folded(weights[:, :, None, None], INT4, scale=1 / 16)])

    def _scaled(self, x: str, factor: float) -> str:
        return self._writer.node("Mul", [x, self._writer.constant(factor, FLOAT)])

    def _fraction(self, x: str) -> str:
        """Return ``x - floor(x)``."""
        return self._writer.node("Sub", [x, self._writer.node("Floor", [x])])

    def _signs(self, digits: str, group: Group) -> str:
        """Step 4."""
        return self._sign_of(self._writer.node("MatMul", [self._level_two(group), digits]))

    def _level_two(self, group: Group) -> str:
        scale = self._writer.constant(SIGN_SCALE, FLOAT)
        values = group.level_two if not group.gap else group.level_two.transpose(0, 2, 1)
        return self._writer.node("Add", [self._folded(values - 1, UINT4, scale=SIGN_SCALE), scale])

    def _sign_of(self, y: str) -> str:
        return self._writer.node("Sign", [self._writer.node("Sub", [y, self._writer.node("Round", [y])])])

    def _pairs(self, digests: str, group: Group) -> str:
        """Return the summed signs ``[1, features, 1]`` of all pairs whose second word exists."""
        node = self._writer.node
        signs = self._sign_of(node("Conv", [digests, self._level_two(group)], dilations=[group.gap]))
        begin, end = self._integers([SLOTS - 1, group.gap]), self._integers([SLOTS, self._projection.max_words])
        present = node("Sign", [node("Slice", [digests, begin, end, self._integers([1, 2])])])
        return node("MatMul", [signs, self._reshape(present, (-1, 1))])

    def _values(self, sums: str) -> str:
        """Return features in uint8; spec/projection.md 2.7."""
        writer = self._writer
        if self._projection.values == "ternary":
            sums = self._clip(sums)
        elif self._projection.values == "binary":
            sums = writer.node("Sign", [writer.node("Add", [sums, writer.constant(0.5, FLOAT)])])
        return writer.node("QuantizeLinear", [sums, writer.constant(1, FLOAT), writer.constant(128, UINT8)])

    def _clip(self, x: str) -> str:
        return self._writer.node("Clip", [x, self._writer.constant(-1, FLOAT), self._writer.constant(1, FLOAT)])

    def _folded(self, values: IntegerArray, kind: int, *, scale: float = 1.0) -> str:
        """Return 4-bit ``values`` times ``scale`` in float; runtimes compute this once, when they load the file."""
        real = self._writer.node("Cast", [self._writer.constant(values, kind)], to=FLOAT)
        return real if scale == 1 else self._writer.node("Mul", [real, self._writer.constant(scale, FLOAT)])

    def _reshape(self, x: str, shape: tuple[int, ...]) -> str:
        return self._writer.node("Reshape", [x, self._integers(list(shape))])

    def _integers(self, values: list[int]) -> str:
        return self._writer.constant(values, INT64)
