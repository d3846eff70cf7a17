"""A small writer of LiteRT flatbuffers: tensors and operators in, the bytes of a ``.tflite`` file out.

Equal shapes, operands, options, quantizations and buffers are stored once; nothing has a name but what is given one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

FLOAT32: int = schema.TensorType.FLOAT32
INT16: int = schema.TensorType.INT16
INT32: int = schema.TensorType.INT32
INT8: int = schema.TensorType.INT8
UINT8: int = schema.TensorType.UINT8
INT4: int = schema.TensorType.INT4
BOOL: int = schema.TensorType.BOOL
_LARGEST_SHORT_CODE = 127
"""Operator codes from here on do not fit the one-byte field of old readers."""

Array = npt.NDArray[Any]
Options = tuple[str, dict[str, Any]]
"""Class name without ``T`` and the fields that differ from their defaults."""


def pack_int4(values: Array) -> npt.NDArray[np.uint8]:
    """Return two signed 4-bit ``values`` per byte, the first in the low half."""
    flat = values.astype(np.int8).ravel()
    flat = np.append(flat, np.zeros(flat.size % 2, np.int8))
    packed: npt.NDArray[np.uint8] = ((flat[0::2] & 15) | ((flat[1::2] & 15) << 4)).astype(np.uint8)
    return packed


class FlatbufferWriter:
    """Collects tensors and operators; ``finish`` returns the file."""

    def __init__(self) -> None:
        self.owner = ""
        """Who is charged for the constants and quantizations that are stored next."""
        self.stored_bytes: dict[str, int] = {}
        """Bytes of constants and quantizations by owner."""
        self._builder = flatbuffers.Builder(1024)
        self._stored: dict[tuple[Any, ...], int] = {}
        self._buffers: list[int] = []
        self._buffer_index: dict[bytes, int] = {}
        self._constants: dict[tuple[Any, ...], int] = {}
        self._codes: list[int] = []
        self._tensors: list[int] = []
        self._operators: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        self._buffer(b"")

    def tensor(
        self,
        shape: Sequence[int],
        kind: int,
        *,
        scale: npt.ArrayLike | None = None,
        zero_point: int = 0,
        axis: int = 0,
        data: Array | None = None,
        name: str | None = None,
    ) -> int:
        """Return the index of a tensor; ``data`` makes it a constant, ``scale`` of several values is along ``axis``.

        Equal constants are one tensor.
        """
        build, shape = self._builder, tuple(int(n) for n in shape)
        quantization = None
        if scale is not None:
            quantization = self._quantization(np.atleast_1d(np.asarray(scale, np.float32)), zero_point, axis)
        buffer = 0
        if data is not None:
            buffer = self._buffer((pack_int4(data) if kind == INT4 else np.ascontiguousarray(data)).tobytes())
        shape_offset = self._vector(np.asarray(shape, np.int32))
        label = None if name is None else build.CreateString(name)
        key = (shape, kind, quantization, buffer)
        if data is not None and key in self._constants:
            return self._constants[key]
        schema.TensorStart(build)
        if quantization is not None:
            schema.TensorAddQuantization(build, quantization)
        if label is not None:
            schema.TensorAddName(build, label)
        schema.TensorAddBuffer(build, buffer)
        schema.TensorAddShape(build, shape_offset)
        schema.TensorAddType(build, kind)
        self._tensors.append(schema.TensorEnd(build))
        self._shapes.append(shape)
        if data is not None:
            self._constants[key] = len(self._tensors) - 1
        return len(self._tensors) - 1

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._shapes[tensor]

    def operator(self, code: str, inputs: Sequence[int], output: int, options: Options | None = None) -> int:
        """Append one built-in operator that writes ``output`` and return ``output``; input -1 is an absent optional one."""
        build, number = self._builder, getattr(schema.BuiltinOperator, code)
        if number not in self._codes:
            self._codes.append(number)
        packed = None if options is None else self._options(options)
        sources = self._vector(np.asarray(inputs, np.int32))
        targets = self._vector(np.asarray([output], np.int32))
        schema.OperatorStart(build)
        schema.OperatorAddInputs(build, sources)
        schema.OperatorAddOutputs(build, targets)
        if options is not None and packed is not None:
            schema.OperatorAddBuiltinOptions(build, packed)
        schema.OperatorAddOpcodeIndex(build, self._codes.index(number))
        if options is not None and packed is not None:
            schema.OperatorAddBuiltinOptionsType(build, getattr(schema.BuiltinOptions, options[0]))
        self._operators.append(schema.OperatorEnd(build))
        return output

    def finish(self, *, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        build = self._builder
        tensors, operators = self._offsets(self._tensors), self._offsets(self._operators)
        sources, targets = self._vector(np.asarray(inputs, np.int32)), self._vector(np.asarray(outputs, np.int32))
        schema.SubGraphStart(build)
        schema.SubGraphAddTensors(build, tensors)
        schema.SubGraphAddInputs(build, sources)
        schema.SubGraphAddOutputs(build, targets)
        schema.SubGraphAddOperators(build, operators)
        subgraphs = self._offsets([schema.SubGraphEnd(build)])
        codes = self._offsets([self._operator_code(number) for number in self._codes])
        buffers = self._offsets(self._buffers)
        schema.ModelStart(build)
        schema.ModelAddVersion(build, 3)
        schema.ModelAddOperatorCodes(build, codes)
        schema.ModelAddSubgraphs(build, subgraphs)
        schema.ModelAddBuffers(build, buffers)
        build.Finish(schema.ModelEnd(build), b"TFL3")
        return bytes(build.Output())

    def _charge(self, size: int) -> None:
        self.stored_bytes[self.owner] = self.stored_bytes.get(self.owner, 0) + size

    def _once(self, key: tuple[Any, ...], create: Callable[[], int]) -> int:
        if key not in self._stored:
            self._stored[key] = create()
        return self._stored[key]

    def _vector(self, values: Array) -> int:
        offset: int = self._once((str(values.dtype), values.tobytes()), lambda: int(self._builder.CreateNumpyVector(values)))
        return offset

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _buffer(self, content: bytes) -> int:
        if content not in self._buffer_index:
            data = None
            if content:
                # 4-byte alignment serves every element type here; 16, as converters use, would cost 8 bytes a buffer
                self._builder.StartVector(1, len(content), 4)
                self._builder.head -= len(content)
                self._builder.Bytes[self._builder.head : self._builder.head + len(content)] = content
                data = self._builder.EndVector()
                self._charge(len(content))
            schema.BufferStart(self._builder)
            if data is not None:
                schema.BufferAddData(self._builder, data)
            self._buffers.append(schema.BufferEnd(self._builder))
            self._buffer_index[content] = len(self._buffers) - 1
        return self._buffer_index[content]

    def _quantization(self, scale: npt.NDArray[np.float32], zero_point: int, axis: int) -> int:
        zero_points = np.full(len(scale), zero_point, np.int64)

        def create() -> int:
            before = self._builder.Offset()
            scales, points = self._vector(scale), self._vector(zero_points)
            self._charge(self._builder.Offset() - before)
            schema.QuantizationParametersStart(self._builder)
            schema.QuantizationParametersAddScale(self._builder, scales)
            schema.QuantizationParametersAddZeroPoint(self._builder, points)
            schema.QuantizationParametersAddQuantizedDimension(self._builder, axis)
            return int(schema.QuantizationParametersEnd(self._builder))

        return self._once(("quantization", scale.tobytes(), zero_points.tobytes(), axis), create)

    def _options(self, options: Options) -> int:
        kind, fields = options

        def create() -> int:
            value = getattr(schema, kind + "T")()
            for field, content in fields.items():
                setattr(value, field, content)
            return int(value.Pack(self._builder))

        return self._once(("options", kind, repr(sorted(fields.items()))), create)

    def _operator_code(self, number: int) -> int:
        schema.OperatorCodeStart(self._builder)
        if number >= _LARGEST_SHORT_CODE:
            schema.OperatorCodeAddBuiltinCode(self._builder, number)
        schema.OperatorCodeAddDeprecatedBuiltinCode(self._builder, min(number, _LARGEST_SHORT_CODE))
        return int(schema.OperatorCodeEnd(self._builder))
