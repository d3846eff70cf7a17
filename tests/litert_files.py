"""LiteRT files put together by hand, as a stranger's converter would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def tensor(name: str, kind: int, shape: list[int], buffer: int = 0) -> Any:
    """Return a tensor; buffer 0 holds nothing."""
    made = schema.TensorT()
    made.name, made.type, made.shape, made.buffer = name, kind, shape, buffer
    return made


def operator(code: int, inputs: list[int], output: int, options_type: int, options: Any) -> Any:
    """Return a use of operator number ``code``, which reads and writes tensors by number."""
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
    made.builtinOptionsType, made.builtinOptions = options_type, options
    return made


def litert_file(
    tensors: list[Any],
    operators: list[Any],
    *,
    codes: Sequence[int],
    version: int,
    output: int,
    constants: Sequence[np.ndarray],
) -> bytes:
    """Return a file that reads tensor 0 and writes tensor ``output``; ``constants`` are the buffers from 1 on."""
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [output]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [_code(each, version) for each in codes]
    model.buffers = [schema.BufferT() for _ in (None, *constants)]
    for buffer, values in zip(model.buffers[1:], constants, strict=True):
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _code(builtin_code: int, version: int) -> Any:
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = builtin_code
    made.version = version
    return made
