"""A small writer of ExecuTorch programs: kernel calls and constants in, the bytes of a ``.pte`` file out.

The file is a flatbuffer of ExecuTorch's public schema (``program.fbs``), whose field numbers stand here, a header that says how
long it is, and one segment with the constants. Memory is planned when the file is finished:
what is not alive at the same time may lie at the same place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

UINT8, INT8, INT16, INT32, INT64, FLOAT, BOOL = 0, 1, 2, 3, 4, 6, 11
"""Element types of the schema."""
_ITEM_BYTES = {UINT8: 1, INT8: 1, INT16: 2, INT32: 4, INT64: 8, FLOAT: 4, BOOL: 1}
NUMPY = {UINT8: np.uint8, INT8: np.int8, INT16: np.int16, INT32: np.int32, FLOAT: np.float32}
_NULL, _INT, _BOOL, _DOUBLE, _TENSOR, _INT_LIST, _TENSOR_LIST = 1, 2, 3, 4, 5, 7, 10
"""Kinds of values."""
_KERNEL_CALL = 1
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


Value = Tensor | Learned | int | float | bool | None | Sequence[int] | Sequence[Tensor]


@dataclass(frozen=True)
class _List:
    """A list of scalars or of tensors, by the numbers of their values."""

    kind: int
    numbers: list[int]


_Stored = Tensor | int | float | bool | None | _List


@dataclass
class ExecutorchWriter:
    """Collects calls and constants; ``finish`` returns the file.

    Attributes:
        owner: who is charged for the constants that are stored next.
        stored_bytes: bytes of constants' values by owner.
    """

    owner: str = ""
    stored_bytes: dict[str, int] = field(default_factory=dict)
    _builder: Any = field(default_factory=lambda: flatbuffers.Builder(4096))
    _values: dict[object, tuple[int, _Stored]] = field(default_factory=dict)
    _operators: dict[str, int] = field(default_factory=dict)
    _calls: list[tuple[int, list[int]]] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)
    _known: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    _stored: dict[object, int] = field(default_factory=dict)
    _learned: list[Learned] = field(default_factory=list)

    def tensor(self, shape: Sequence[int], kind: int = FLOAT) -> Tensor:
        """Return a tensor in a memory of its own."""
        size = int(np.prod(shape, dtype=np.int64)) * _ITEM_BYTES[kind]
        return Tensor(tuple(shape), kind, Memory(size))

    def constant(self, values: npt.ArrayLike, kind: int = FLOAT, *, charge: bool = True) -> Tensor:
        """Return a constant; equal ones are stored once."""
        array = np.ascontiguousarray(np.asarray(values, NUMPY[kind]))
        key = (array.shape, kind, array.tobytes())
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
        self._calls.append((number, [*values, returned]))  # a kernel is also given what it returns
        return tensors[0]

    def finish(self, given: Tensor, answer: Tensor) -> bytes:
        """Return the file of a method ``forward`` with one input and one output."""
        source, target = self._value(given), self._value(answer)
        given.memory.first, answer.memory.last = 0, len(self._calls)
        planned = self._plan()
        build = self._builder
        name = build.CreateString("forward")
        values = self._offsets([self._packed(value) for _, value in self._values.values()])
        operators = self._offsets([self._operator(name) for name in self._operators])
        instructions = self._offsets([self._instruction(*call) for call in self._calls])
        sources, targets = self._vector(np.asarray([source], np.int32)), self._vector(np.asarray([target], np.int32))
        chain = self._table(4, {0: sources, 1: targets, 2: instructions})
        sizes = self._vector(np.asarray([0, planned], np.int64))
        plan = self._table(
            10,
            {
                0: name,
                2: values,
                3: sources,
                4: targets,
                5: self._offsets([chain]),
                6: operators,
                7: self._offsets([]),
                8: sizes,
            },
        )
        plans = self._offsets([plan])
        begins = self._vector(np.cumsum([0, 0, *(_aligned(len(c)) for c in self._constants)])[:-1].astype(np.int64))
        segment = b"".join(content + bytes(_aligned(len(content)) - len(content)) for content in self._constants)
        segments = self._offsets([self._table(2, {1: ("Uint64", len(segment))})])
        constants = self._table(2, {1: begins})
        build.Finish(self._table(8, {1: plans, 4: segments, 5: constants}), _IDENTIFIER)
        return _with_segment(bytes(build.Output()), segment)

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
        elif given is None or isinstance(given, bool | int | float):
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
        return self._once(("value", kind, content), lambda: self._table(2, {0: ("Uint8", kind), 1: content}))

    def _content(self, value: _Stored) -> tuple[int, int]:
        match value:
            case None:
                return _NULL, self._once(("null",), lambda: self._table(0, {}))
            case bool():
                return _BOOL, self._scalar("Bool", value)
            case int():
                return _INT, self._scalar("Int64", value)
            case float():
                return _DOUBLE, self._scalar("Float64", value)
            case Tensor():
                return _TENSOR, self._tensor(value)
            case _List():
                numbers = np.asarray(value.numbers, np.int32 if value.kind == _TENSOR_LIST else np.int64)
                return value.kind, self._table(1, {0: self._vector(numbers)})

    def _scalar(self, kind: str, value: float) -> int:
        self._builder.ForceDefaults(True)  # 0 takes its bytes as every other number does
        found = self._table(1, {0: (kind, value)})
        self._builder.ForceDefaults(False)
        return found

    def _tensor(self, tensor: Tensor) -> int:
        memory = tensor.memory
        fields: dict[int, int | tuple[str, Any]] = {
            0: ("Int8", tensor.kind),
            2: self._vector(np.asarray(tensor.shape, np.int32)),
            3: self._vector(np.arange(len(tensor.shape), dtype=np.uint8)),
        }
        if memory.constant:
            fields[5] = ("Uint32", memory.constant)
        else:
            place = memory.offset + tensor.start
            fields[6] = self._once(("place", place), lambda: self._table(3, {0: ("Uint32", _PLANNED), 1: ("Uint32", place)}))
        return self._table(10, fields)

    def _operator(self, name: str) -> int:
        stem, _, overload = name.partition(".")
        return self._table(2, {0: self._builder.CreateSharedString(stem), 1: self._builder.CreateSharedString(overload)})

    def _instruction(self, number: int, arguments: list[int]) -> int:
        call = self._table(2, {0: ("Int32", number), 1: self._vector(np.asarray(arguments, np.int32))})
        return self._table(2, {0: ("Uint8", _KERNEL_CALL), 1: call})

    def _table(self, slots: int, fields: dict[int, int | tuple[str, Any]]) -> int:
        """Return a table; a field is the offset of what it holds, or (type, value)."""
        build = self._builder
        build.StartObject(slots)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                getattr(build, f"Prepend{value[0]}Slot")(slot, value[1], 0)
            else:
                build.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(build.EndObject())

    def _once(self, key: object, create: Callable[[], int]) -> int:
        if key not in self._stored:
            self._stored[key] = create()
        return self._stored[key]

    def _vector(self, values: Array) -> int:
        def create() -> int:
            return int(self._builder.CreateNumpyVector(values))

        return self._once(("vector", values.dtype.str, values.tobytes()), create)

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())


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


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
