"""The text hash in ExecuTorch kernels: bytes int32 ``[1, L]`` to features float32 ``[W, P]`` or ``[1, P]``.

Positions and words are rows. What costs an operator in other formats is often a view here, because the writer plans the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.export.box_graph import CONSTANTS
from understudy.export.executorch_flatbuffer import FLOAT, INT32, UINT8, ExecutorchWriter, Tensor, Value
from understudy.export.text_graph import BEFORE, SIGN_SCALE, SLOTS, TABLES, Group, TextGraph, text_graph
from understudy.projections.text import TextProjection

IntegerArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Nibbles:
    """Numbers of 4 bits that a file stores together, to be spread out once.

    Attributes:
        owner: who is charged for them.
        values: integers, in 0..15 after the offset is subtracted.
        offset: -8 or 0; level two of the hash has 1.
    """

    owner: str
    values: IntegerArray
    offset: int


def text_nibbles(projection: TextProjection) -> dict[str, Nibbles]:
    """Return the tables of the hash by name."""
    graph = text_graph(projection)
    kernel = graph.window_kernel.reshape(len(graph.window_kernel), -1)
    found = {"kernel": Nibbles(TABLES, kernel, -8), "codes": Nibbles(TABLES, graph.code_table, 0)}
    if graph.level_one is not None:
        found["level one"] = Nibbles(CONSTANTS, graph.level_one, -8)
    if graph.word_level is not None:
        found["word level"] = Nibbles(CONSTANTS, graph.word_level, -8)
    for i, group in enumerate(graph.groups):
        found[f"group {i}"] = Nibbles(CONSTANTS, group.level_two.reshape(len(group.level_two), -1), 1)
    return found


def spread_nibbles(writer: ExecutorchWriter, nibbles: dict[str, Nibbles]) -> dict[str, Tensor]:
    """Append the calls that turn packed 4-bit numbers to floats, all at once, and return each table as a view.

    The first half of all numbers are the low halves of the bytes, the second half the high ones, so both are found by one call.
    Level two of the hash gets its scale, too.
    """
    order = sorted(nibbles, key=lambda name: nibbles[name].offset)
    flat = np.concatenate([(nibbles[name].values - nibbles[name].offset).ravel() for name in order])
    half = -(-flat.size // 2)
    flat = np.append(flat, [0] * (2 * half - flat.size)).astype(np.uint8)
    packed = writer.constant(flat[:half] | flat[half:] << 4, UINT8, charge=False)
    for name in order:
        writer.owner = nibbles[name].owner
        writer.charge(nibbles[name].values.size // 2)
    spread = writer.tensor((2 * half,), UINT8)
    writer.call("aten::bitwise_and.Scalar_out", packed, 15, spread.view((half,)))
    writer.call("aten::bitwise_right_shift.Tensor_Scalar_out", packed, 4, spread.view((half,), begin=half))
    real = writer.call("aten::_to_copy.out", spread, False, None, writer.tensor(spread.shape))
    views: dict[str, Tensor] = {}
    begins: dict[int, int] = {}
    begin = 0
    for name in order:
        begins.setdefault(nibbles[name].offset, begin)
        views[name] = real.view(nibbles[name].values.shape, begin=begin)
        begin += nibbles[name].values.size
    if -8 in begins:
        region = real.view((sum(n.values.size for n in nibbles.values() if n.offset == -8),))
        writer.call("aten::sub.Scalar_out", region, 8, 1, region)
    if 1 in begins:
        region = real.view((begin - begins[1],), begin=begins[1])
        writer.call("aten::add.Scalar_out", region, 1, 1, region)
        writer.call("aten::mul.Scalar_out", region, SIGN_SCALE, region)
    return views


def write_text_projection(
    writer: ExecutorchWriter, projection: TextProjection, byte_ids: Tensor, tables: dict[str, Tensor]
) -> Tensor:
    """Append the calls of ``projection`` and return its features; ``tables`` are those of ``text_nibbles``."""
    return _TextWriter(writer, projection, tables).features(byte_ids)


class _TextWriter:
    def __init__(self, writer: ExecutorchWriter, projection: TextProjection, tables: dict[str, Tensor]) -> None:
        self._writer = writer
        self._projection = projection
        self._tables = tables
        self._graph: TextGraph = text_graph(projection)
        self._length, self._words = projection.max_bytes, projection.max_words

    def features(self, byte_ids: Tensor) -> Tensor:
        graph, writer = self._graph, self._writer
        writer.owner = TABLES
        windows = self._windows(byte_ids)
        member = self._member(windows)
        self._call("mul.Scalar_out", windows, 1 / 16, windows)
        digits = digests = None
        if graph.level_one is not None:
            orders = len(self._projection.orders)
            found = self._fraction(self._product(windows, self._tables["level one"]))
            digits = found.view((self._length * orders, SLOTS))
        if graph.word_level is not None:
            sums = self._pool(member, self._fraction(self._product(windows, self._tables["word level"])))
            self._call("mul.Scalar_out", sums, 4.0, sums)
            self._call("floor.out", sums, sums)
            self._call("mul.Scalar_out", sums, 1 / 16, sums)
            digests = self._fraction(sums)
        rows = []
        for i, group in enumerate(graph.groups):
            table = self._tables[f"group {i}"]
            if group.kind == "character":
                assert digits is not None
                signs = self._signs(digits, table).view((self._length, len(self._projection.orders), len(group.level_two)))
                total = writer.tensor((self._length, len(group.level_two)))
                found = self._pool(member, self._call("sum.IntList_out", signs, [1], False, None, total))
            else:
                assert digests is not None
                found = self._pairs(digests, group, table) if group.gap else self._signs(digests, table)
            if self._projection.pooling == "utterance" and not group.gap:
                found = self._call("sum.IntList_out", found, [0], True, None, writer.tensor((1, len(group.level_two))))
            rows.append(found)
        return self._values(self._joined(rows))

    def _windows(self, byte_ids: Tensor) -> Tensor:
        """Steps 1 and 2: float ``[L, channels]``; byte 0 has code 0, so padding bytes pads codes."""
        writer, kernel = self._writer, self._tables["kernel"]
        taps = kernel.shape[1] // 4
        longer = writer.tensor((1, self._length + taps - 1), INT32)
        padded = self._call("constant_pad_nd.out", byte_ids, [BEFORE, taps - BEFORE - 1], 0, longer)
        codes = writer.tensor((1, self._length + taps - 1, 4))
        self._call("embedding.out", self._tables["codes"], padded, -1, False, False, codes)
        seen = writer.tensor((self._length, taps * 4))
        self._call("as_strided_copy.out", codes, list(seen.shape), [4, 1], None, seen)
        windows = self._product(seen, kernel, bias=writer.constant(self._graph.window_bias))
        return self._call("relu.out", windows, windows)

    def _member(self, windows: Tensor) -> Tensor:
        """Step 5: float ``[W, L]``."""
        writer = self._writer
        start = self._product(windows, writer.constant(self._graph.start[None]))
        self._call("clamp.out", start, -1, 1, start)
        slot = self._call("cumsum.out", start, 0, None, writer.tensor(start.shape)).view((1, self._length))
        numbers = writer.constant(np.arange(1, self._words + 1)[:, None])
        return self._call("eq.Tensor_out", slot, numbers, writer.tensor((self._words, self._length)))

    def _fraction(self, x: Tensor) -> Tensor:
        """Replace ``x`` by ``x - floor(x)``."""
        return self._call("sub.out", x, self._call("floor.out", x, self._writer.tensor(x.shape)), 1, x)

    def _signs(self, digits: Tensor, table: Tensor) -> Tensor:
        """Step 4."""
        y = self._product(digits, table)
        self._call("sub.out", y, self._call("round.out", y, self._writer.tensor(y.shape)), 1, y)
        return self._call("sign.out", y, y)

    def _pairs(self, digests: Tensor, group: Group, table: Tensor) -> Tensor:
        """Return the summed signs ``[1, features]`` of all pairs whose second word exists."""
        writer, count = self._writer, self._words - group.gap
        both, present = writer.tensor((count, 2, SLOTS)), writer.tensor((1, count))
        self._call("as_strided_copy.out", digests, list(both.shape), [SLOTS, SLOTS * group.gap, 1], None, both)
        signs = self._signs(both.view((count, 2 * SLOTS)), table)
        begin = group.gap * SLOTS + SLOTS - 1
        self._call("as_strided_copy.out", digests, list(present.shape), [SLOTS, SLOTS], begin, present)
        return self._pool(self._call("sign.out", present, present), signs)

    def _joined(self, rows: list[Tensor]) -> Tensor:
        if len(rows) == 1:
            return rows[0]
        return self._call("cat.out", rows, 1, self._writer.tensor((rows[0].shape[0], sum(row.shape[1] for row in rows))))

    def _values(self, sums: Tensor) -> Tensor:
        """Return features; spec/projection.md 2.7."""
        if self._projection.values == "binary":
            self._call("add.Scalar_out", sums, 0.5, 1, sums)
            return self._call("sign.out", sums, sums)
        low, high = (-1, 1) if self._projection.values == "ternary" else (-128, 127)
        return self._call("clamp.out", sums, low, high, sums)

    def _product(self, x: Tensor, weights: Tensor, *, bias: Tensor | None = None) -> Tensor:
        """Return ``x @ weights.T``."""
        return self._call("linear.out", x, weights, bias, self._writer.tensor((x.shape[0], weights.shape[0]), FLOAT))

    def _pool(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Return ``weights @ rows``."""
        return self._call("mm.out", weights, rows, self._writer.tensor((weights.shape[0], rows.shape[1])))

    def _call(self, kernel: str, *arguments: Value) -> Tensor:
        return self._writer.call(f"aten::{kernel}", *arguments)
