"""A small writer of what ExecuTorch's XNNPACK backend reads: values and nodes in, the bytes of a delegate out.

A delegate is a header, a flatbuffer of the backend's public schema (``schema.fbs``), whose field numbers stand here, and the
constants behind it. Tensors are int8 with scale and zero point, the channels last.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.export.flatbuffer_tables import Field, FlatbufferTables
from understudy.program.ops import Quantization

Array = npt.NDArray[Any]

FLOAT, INT8, UINT8, CHANNEL_INT8, CHANNEL_INT32, CHANNEL_INT4 = 1, 3, 4, 6, 7, 8
"""Element types of the schema; those of channels have a scale for each."""
ADD, LINEAR, SOFTMAX, TRANSPOSE, CONV, PAD, DEPTHWISE_CONV, MAX_POOL, MULTIPLY, CONVERT, RESHAPE, CONCAT, SLICE = (
    1,
    2,
    3,
    5,
    7,
    10,
    13,
    14,
    15,
    18,
    20,
    32,
    35,
)
"""Kinds of nodes; ``CONCAT`` is the one of two inputs."""
_PLAIN, _QUANTIZED = 1, 2
_PER_CHANNEL, _PER_TENSOR = 1, 2
_INPUT, _OUTPUT = 1, 2
"""Flags of values that come from outside, or go there."""
NOTHING = 2**32 - 1
"""Number of a value that is not there, and of an outer number that is not there."""
_IDENTIFIER, _MAGIC = b"XN01", b"XH00"
_HEADER = "<4x4sHIIIQ"
_ALIGNMENT = 16


@dataclass(eq=False)
class Value:
    """A tensor of a graph.

    Attributes:
        number: its place among the values.
        shape: sizes of all its axes.
        kind: element type.
        quantization: for int8 that is not constant.
        constant: number of its content; 0 for none.
        scales: number of the scales of its channels, as ``constant``.
        axis: along which its channels lie.
    """

    number: int
    shape: tuple[int, ...]
    kind: int
    quantization: Quantization | None = None
    constant: int = 0
    scales: int = 0
    axis: int = 0


@dataclass
class XnnpackGraph:
    """Collects values and nodes; ``finish`` returns the delegate."""

    inputs: list[Value] = field(default_factory=list)
    _values: list[Value] = field(default_factory=list)
    _nodes: list[tuple[int, dict[int, Any], bool]] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)
    _tables: FlatbufferTables = field(default_factory=FlatbufferTables)

    def input(self, shape: Sequence[int], kind: int, quantization: Quantization | None = None) -> Value:
        """Return a value that comes from outside."""
        self.inputs.append(self.value(shape, kind, quantization))
        return self.inputs[-1]

    def value(self, shape: Sequence[int], kind: int, quantization: Quantization | None = None) -> Value:
        """Return a value that a node writes."""
        return self._added(Value(len(self._values), tuple(shape), kind, quantization))

    def scales(self, scales: npt.NDArray[np.float32]) -> int:
        """Store one scale for each channel and return their number."""
        return self._stored(scales.astype("<f4"))

    def constant(self, content: Array, kind: int, scales: int, *, shape: Sequence[int], axis: int = 0) -> Value:
        """Return a constant of a layer, of one of the kinds with scales for each channel along ``axis``.

        What is no layer may not read one: XNNPACK copies those of layers alone, and nothing of a delegate outlives its loading.
        """
        assert kind in (CHANNEL_INT8, CHANNEL_INT32, CHANNEL_INT4)
        number = self._stored(content)
        return self._added(Value(len(self._values), tuple(shape), kind, constant=number, scales=scales, axis=axis))

    def node(self, kind: int, fields: Mapping[int, Any], *, relu: bool = False) -> None:
        """Append a node; ``fields`` are numbers, floats, sequences of numbers, or values, by the numbers of the schema."""
        self._nodes.append((kind, dict(fields), relu))

    def finish(self, outputs: Sequence[Value]) -> bytes:
        """Return the delegate, which takes ``inputs`` and then ``outputs``."""
        tables = self._tables
        outer = {value.number: i for i, value in enumerate([*self.inputs, *outputs])}
        flags = {value.number: _INPUT for value in self.inputs} | {value.number: _OUTPUT for value in outputs}
        values = tables.offsets([self._value(v, outer.get(v.number, NOTHING), flags.get(v.number, 0)) for v in self._values])
        nodes = tables.offsets([self._node(*node) for node in self._nodes])
        begins = np.cumsum([0, *(_aligned(len(content)) for content in self._constants)])[:-1]
        nothing = tables.table(3, {})  # number 0 means that a value is not constant
        places = tables.offsets([nothing, *map(self._place, begins, self._constants)])
        ids = [tables.unsigned([value.number for value in side]) for side in (self.inputs, outputs)]
        fields: dict[int, Field] = {0: tables.text("0"), 1: nodes, 2: values, 3: ("Uint32", len(outer)), 4: ids[0], 5: ids[1]}
        graph = tables.finish(tables.table(9, {**fields, 8: places}), _IDENTIFIER)
        content = b"".join(_padded(part) for part in self._constants)
        header_bytes = _aligned(struct.calcsize(_HEADER))
        places_of_both = (header_bytes, len(graph), header_bytes + _aligned(len(graph)), len(content))
        header = struct.pack(_HEADER, _MAGIC, struct.calcsize(_HEADER), *places_of_both)
        return _padded(header) + _padded(graph) + content

    def _added(self, value: Value) -> Value:
        self._values.append(value)
        return value

    def _stored(self, content: Array) -> int:
        self._constants.append(np.ascontiguousarray(content).tobytes())
        return len(self._constants)

    def _place(self, begin: np.int64, content: bytes) -> int:
        return self._tables.table(3, {0: ("Uint64", int(begin)), 1: ("Uint64", len(content))})

    def _value(self, value: Value, outer: int, flags: int) -> int:
        tables = self._tables
        dims = tables.unsigned(value.shape)
        fields: dict[int, Field] = {0: ("Int16", value.kind), 1: ("Uint32", len(value.shape)), 2: dims}
        fields |= {3: ("Uint32", value.constant), 4: ("Uint32", outer), 5: ("Uint32", flags), 6: ("Uint32", value.number)}
        plain = tables.table(8, fields)
        if value.kind == FLOAT:
            return tables.table(2, {0: ("Uint8", _PLAIN), 1: plain})
        if value.quantization is not None:
            of = value.quantization
            kind, how = _PER_TENSOR, tables.table(2, {0: ("Float32", of.scale), 1: ("Int32", of.zero_point)}, zeros=True)
        else:
            none = tables.vector(np.asarray([], np.float32))
            channels: dict[int, Field] = {
                0: none,
                1: ("Int32", value.axis),
                2: ("Uint32", value.scales),
                3: ("Uint32", value.shape[value.axis]),
            }
            kind, how = _PER_CHANNEL, tables.table(4, channels)
        quantized = tables.table(3, {0: plain, 1: ("Uint8", kind), 2: how})
        return tables.table(2, {0: ("Uint8", _QUANTIZED), 1: quantized})

    def _node(self, kind: int, fields: Mapping[int, Any], relu: bool) -> int:
        tables = self._tables
        stored: dict[int, Field] = {}
        for slot, content in fields.items():
            match content:
                case Value():
                    stored[slot] = ("Uint32", content.number)
                case float():
                    stored[slot] = ("Float32", content)
                case int():
                    stored[slot] = ("Uint32", content)
                case _:
                    stored[slot] = tables.unsigned(content)
        node = tables.table(max(stored) + 2, stored)  # flags stand last, and there are none
        union: dict[int, Field] = {0: ("Uint8", kind), 1: node}
        if relu:
            union[3] = tables.once("relu", lambda: tables.table(2, {0: ("Float32", 0.0), 1: ("Float32", math.inf)}))
        return tables.table(4, union)


def _padded(content: bytes) -> bytes:
    return content + bytes(_aligned(len(content)) - len(content))


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
