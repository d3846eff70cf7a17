"""A small writer of ExecuTorch programs: kernel calls and constants in, the bytes of a ``.pte`` file out.

The file is a flatbuffer of ExecuTorch's public schema (``program.fbs``), whose field numbers stand here, a header that says how
long it is, and one segment with the constants. Memory is planned when the file is finished:
what is not alive at the same time may lie at the same place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.export.flatbuffer_tables import Field, FlatbufferTables

Array = npt.NDArray[Any]

UINT8, INT8, INT16, INT32, INT64, FLOAT, BOOL = 0, 1, 2, 3, 4, 6, 11
"""Element types of the schema."""
_ITEM_BYTES = {UINT8: 1, INT8: 1, INT16: 2, INT32: 4, INT64: 8, FLOAT: 4, BOOL: 1}
NUMPY = {UINT8: np.uint8, INT8: np.int8, INT16: np.int16, INT32: np.int32, FLOAT: np.float32}
_NULL, _INT, _BOOL, _DOUBLE, _TENSOR, _STRING, _INT_LIST, _TENSOR_LIST = 1, 2, 3, 4, 5, 6, 7, 10
"""Kinds of values."""
_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_IN_SEGMENT = 1
"""Where a delegate's data lies: in a segment of the file."""
_PLANNED = 1
"""Number of the memory that is planned; 0 means constants."""
_ALIGNMENT = 16
_IDENTIFIER, _HEADER, _HEADER_BYTES = b"ET12", b"eh00", 32


@dataclass(eq=False)
class Memory:
    """A run of bytes: a constant's, or one that lives from the first call that names it to the last."""

    size_bytes: int
    constant: int = 0
    first: int | None = None
    last: int = -1
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """A contiguous tensor in a memory, ``start`` bytes from its begin; several may share one."""

    shape: tuple[int, ...]
    kind: int
    memory: Memory
    start: int = 0

    @property
    def size(self) -> int:
        """Number of its elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def view(self, shape: Sequence[int], *, begin: int = 0) -> Tensor:
        """Return the elements from ``begin`` on as a tensor of another shape; nothing is moved."""
        found = Tensor(tuple(shape), self.kind, self.memory, self.start + begin * _ITEM_BYTES[self.kind])
        assert begin + found.size <= self.size
        return found


@dataclass(frozen=True, eq=False)
class Learned:
    """A number that training decides: never stored together with an equal one, so that sizes follow from shapes alone."""

    number: int | float


Value = Tensor | Learned | int | float | bool | str | None | Sequence[int] | Sequence[Tensor]


@dataclass(frozen=True)
class _List:
    """A list of scalars or of tensors, by the numbers of their values."""

    kind: int
    numbers: list[int]


_Stored = Tensor | int | float | bool | str | None | _List


@dataclass
class ExecutorchWriter:
    """Collects calls and constants; ``finish`` returns the file.

    Attributes:
        owner: who is charged for the constants that are stored next.
        stored_bytes: bytes of constants' values by owner.
    """

    owner: str = ""
    stored_bytes: dict[str, int] = field(default_factory=dict)
    _tables: FlatbufferTables = field(default_factory=FlatbufferTables)
    _values: dict[object, tuple[int, _Stored]] = field(default_factory=dict)
    _operators: dict[str, int] = field(default_factory=dict)
    _delegates: list[tuple[str, bytes]] = field(default_factory=list)
    _calls: list[tuple[int, int, list[int]]] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)
    _known: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    _learned: list[Learned] = field(default_factory=list)

    def tensor(self, shape: Sequence[int], kind: int = FLOAT) -> Tensor:
        """Return a tensor in a memory of its own."""
        size = int(np.prod(shape, dtype=np.int64)) * _ITEM_BYTES[kind]
        return Tensor(tuple(shape), kind, Memory(size))

    def constant(self, values: npt.ArrayLike, kind: int = FLOAT, *, charge: bool = True, shared: bool = True) -> Tensor:
        """Return a constant; equal ones that are ``shared`` are stored once."""
        array = np.ascontiguousarray(np.asarray(values, NUMPY[kind]))
        key = (array.shape, kind, array.tobytes()) if shared else (object(),)
        if key not in self._known:
            self._constants.append(array.tobytes())
            self._known[key] = Tensor(array.shape, kind, Memory(array.nbytes, constant=len(self._constants)))
            if charge:
                self.charge(array.nbytes)
        return self._known[key]

    def charge(self, size_bytes: int) -> None:
        """Count stored bytes for the present owner."""
        self.stored_bytes[self.owner] = self.stored_bytes.get(self.owner, 0) + size_bytes

    def call(self, operator: str, *arguments: Value, outputs: int = 1) -> Tensor:
        """Append a call of a kernel, such as ``aten::add.out``, whose last arguments are its outputs; return the first one."""
        number = self._operators.setdefault(operator, len(self._operators))
        values = [self._value(argument) for argument in arguments]
        tensors = [argument for argument in arguments[-outputs:] if isinstance(argument, Tensor)]
        assert len(tensors) == outputs
        returned = values[-1] if outputs == 1 else self._value(tensors)
        self._calls.append((_KERNEL_CALL, number, [*values, returned]))  # a kernel is also given what it returns
        return tensors[0]

    def delegate(self, backend: str, content: bytes, tensors: Sequence[Tensor]) -> None:
        """Append a call of a backend, such as ``XnnpackBackend``, with its own program; inputs stand before outputs."""
        self._calls.append((_DELEGATE_CALL, len(self._delegates), [self._value(tensor) for tensor in tensors]))
        self._delegates.append((backend, content))

    def finish(self, given: Tensor, answer: Tensor) -> bytes:
        """Return the file of a method ``forward`` with one input and one output."""
        source, target = self._value(given), self._value(answer)
        given.memory.first, answer.memory.last = 0, len(self._calls)
        planned = self._plan()
        tables = self._tables
        name = tables.text("forward")
        values = tables.offsets([self._packed(value) for _, value in self._values.values()])
        operators = tables.offsets([self._operator(name) for name in self._operators])
        delegates = tables.offsets([self._backend(i, backend) for i, (backend, _) in enumerate(self._delegates)])
        instructions = tables.offsets([self._instruction(*call) for call in self._calls])
        sources, targets = tables.vector(np.asarray([source], np.int32)), tables.vector(np.asarray([target], np.int32))
        chain = tables.table(4, {0: sources, 1: targets, 2: instructions})
        sizes = tables.vector(np.asarray([0, planned], np.int64))
        fields = {0: name, 2: values, 3: sources, 4: targets, 5: tables.offsets([chain]), 6: operators, 7: delegates, 8: sizes}
        plans = tables.offsets([tables.table(10, fields)])
        begins = tables.vector(np.cumsum([0, 0, *(_aligned(len(c)) for c in self._constants)])[:-1].astype(np.int64))
        parts = [_joined(self._constants), *(content for _, content in self._delegates)]
        places = np.cumsum([0, *(_aligned(len(part)) for part in parts)])[:-1]
        segments = tables.offsets([self._segment(int(at), len(part)) for at, part in zip(places, parts, strict=True)])
        constants = tables.table(2, {1: begins})
        inline = {3: tables.offsets([])} if self._delegates else {}  # readers count what stands in the flatbuffer itself
        root = tables.table(8, {1: plans, **inline, 4: segments, 5: constants})
        return _with_segment(tables.finish(root, _IDENTIFIER), _joined(parts))

    def _value(self, given: Value) -> int:
        """Return the number of a value; the same list or tensor has one, and so have equal scalars that are not learned."""
        key: object
        value: _Stored
        if isinstance(given, Tensor):
            value = given
            key = (id(value.memory), value.start, value.shape, value.kind)
            value.memory.last = len(self._calls)
            if value.memory.first is None:
                value.memory.first = len(self._calls)
        elif isinstance(given, Learned):
            self._learned.append(given)  # alive, so that its identity is its own
            key, value = id(given), given.number
        elif given is None or isinstance(given, bool | int | float | str):
            key, value = (type(given), given), given
        else:
            items = [self._value(item) for item in given]
            kind = _TENSOR_LIST if isinstance(given[0], Tensor) else _INT_LIST
            key, value = (kind, *items), _List(kind, items)
        if key not in self._values:
            self._values[key] = (len(self._values), value)
        return self._values[key][0]

    def _plan(self) -> int:
        """Place every memory that is not constant; return the bytes that they take together."""
        memories = {id(value.memory): value.memory for _, value in self._values.values() if isinstance(value, Tensor)}
        placed: list[Memory] = []
        for memory in sorted((m for m in memories.values() if not m.constant), key=lambda m: -m.size_bytes):
            assert memory.first is not None
            alive = [p for p in placed if p.first is not None and p.first <= memory.last and memory.first <= p.last]
            memory.offset = 0
            for other in sorted(alive, key=lambda p: p.offset):
                if memory.offset + memory.size_bytes <= other.offset:
                    break
                memory.offset = max(memory.offset, _aligned(other.offset + other.size_bytes))
            placed.append(memory)
        return max((_aligned(m.offset + m.size_bytes) for m in placed), default=0)

    def _packed(self, value: _Stored) -> int:
        kind, content = self._content(value)
        return self._tables.once(("value", kind, content), lambda: self._tables.table(2, {0: ("Uint8", kind), 1: content}))

    def _content(self, value: _Stored) -> tuple[int, int]:
        match value:
            case None:
                return _NULL, self._tables.once(("null",), lambda: self._tables.table(0, {}))
            case bool():
                return _BOOL, self._scalar("Bool", value)
            case int():
                return _INT, self._scalar("Int64", value)
            case float():
                return _DOUBLE, self._scalar("Float64", value)
            case str():
                return _STRING, self._tables.table(1, {0: self._tables.text(value)})
            case Tensor():
                return _TENSOR, self._tensor(value)
            case _List():
                numbers = np.asarray(value.numbers, np.int32 if value.kind == _TENSOR_LIST else np.int64)
                return value.kind, self._tables.table(1, {0: self._tables.vector(numbers)})

    def _scalar(self, kind: str, value: float) -> int:
        return self._tables.table(1, {0: (kind, value)}, zeros=True)

    def _tensor(self, tensor: Tensor) -> int:
        memory, tables = tensor.memory, self._tables
        fields: dict[int, Field] = {
            0: ("Int8", tensor.kind),
            2: tables.vector(np.asarray(tensor.shape, np.int32)),
            3: tables.vector(np.arange(len(tensor.shape), dtype=np.uint8)),
        }
        if memory.constant:
            fields[5] = ("Uint32", memory.constant)
        else:
            at = memory.offset + tensor.start
            fields[6] = tables.once(("place", at), lambda: tables.table(3, {0: ("Uint32", _PLANNED), 1: ("Uint32", at)}))
        return tables.table(10, fields)

    def _operator(self, name: str) -> int:
        stem, _, overload = name.partition(".")
        return self._tables.table(2, {0: self._tables.text(stem), 1: self._tables.text(overload)})

    def _backend(self, number: int, name: str) -> int:
        """Its data is the segment behind the constants and the data of those before."""
        content = self._tables.table(2, {0: ("Int8", _IN_SEGMENT), 1: ("Uint32", number + 1)})
        return self._tables.table(3, {0: self._tables.text(name), 1: content, 2: self._tables.offsets([])})

    def _segment(self, begin: int, size_bytes: int) -> int:
        return self._tables.table(2, {0: ("Uint64", begin), 1: ("Uint64", size_bytes)})

    def _instruction(self, kind: int, number: int, arguments: list[int]) -> int:
        call = self._tables.table(2, {0: ("Int32", number), 1: self._tables.vector(np.asarray(arguments, np.int32))})
        return self._tables.table(2, {0: ("Uint8", kind), 1: call})


def check_length(content: bytes) -> None:
    """Raise ValueError where a file is not as long as its header says: the runtime would read past its end."""
    if len(content) < 8 + _HEADER_BYTES or content[4:12] != _IDENTIFIER + _HEADER:
        raise ValueError("no ET12 identifier and header")
    _, size, begin, segment = struct.unpack_from("<IQQQ", content, 12)
    if not size <= begin <= len(content) == begin + segment:
        raise ValueError(f"{len(content)} bytes of {begin + segment}")


def _with_segment(program: bytes, segment: bytes) -> bytes:
    """Return the flatbuffer ``program`` with a header behind its first eight bytes, and ``segment`` behind it."""
    [root] = struct.unpack_from("<I", program)
    size = len(program) + _HEADER_BYTES
    begin = _aligned(size)
    header = _HEADER + struct.pack("<IQQQ", _HEADER_BYTES, size, begin, len(segment))
    return struct.pack("<I", root + _HEADER_BYTES) + _IDENTIFIER + header + program[8:] + bytes(begin - size) + segment


def _joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(part + bytes(_aligned(len(part)) - len(part)) for part in parts)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
