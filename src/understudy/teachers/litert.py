"""Teachers in LiteRT files (``.tflite``), run by ai-edge-litert from memory with its built-in operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError, missing_extra
from understudy.teachers.class_order import names_beside
from understudy.teachers.model_file import (
    BATCH,
    AnyArray,
    ModelFileTeacher,
    TextInput,
    model_file_teacher,
    read_file,
    unreadable,
)
from understudy.teachers.protocol import Float32Array

_BYTE_TYPES = ("int32", "uint8")
_OUTPUT_TYPES = (np.float32, np.int8, np.uint8)


def litert_teacher(path: Path, *, classes: int) -> ModelFileTeacher:
    """Return the teacher in the LiteRT file ``path``.

    Its input is UTF-8 bytes int32 or uint8 ``[N, L]``, zero-padded; quantized outputs are dequantized.

    Raises:
        InputError: unreadable, operators that are not built in, or an input or output that is not text to classes.
        SetupError: the packages of the ``litert`` extra are not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise missing_extra(purpose="using a LiteRT file as teacher", extra="litert") from None
    content = read_file(path)
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        text_input = _text_input(interpreter.get_input_details(), path)
        if text_input.batch is None:
            index = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(index, [BATCH, text_input.length], strict=True)
            text_input = TextInput(batch=BATCH, length=text_input.length, dtype=text_input.dtype)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise unreadable(path, format_name="LiteRT", reason=error) from None
    source = interpreter.get_input_details()[0]["index"]
    output = _output(interpreter.get_output_details(), path, classes)

    def run(tensor: AnyArray) -> Float32Array:
        interpreter.set_tensor(source, tensor)
        try:
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise _unusable(path, f"a run that failed ({str(error)[:200]})") from None
        return _dequantized(interpreter.get_tensor(output["index"]), output)

    return model_file_teacher(
        path, content, run=run, text_input=text_input, class_names=names_beside(path), format_name="LiteRT"
    )


def _unusable(path: Path, received: str) -> InputError:
    return InputError(
        "a LiteRT teacher takes one input, UTF-8 bytes int32 or uint8 [N, L], and gives [N, classes]: "
        f"received {received} in teacher={str(path)!r}; "
        "put its own preparation of texts around it in a Python function and give file.py:name"
    )


def _text_input(details: list[dict[str, Any]], path: Path) -> TextInput:
    dtype = np.dtype(details[0]["dtype"]).name if len(details) == 1 else ""
    if dtype in _BYTE_TYPES and len(details[0]["shape"]) == 2:
        batch, length = (int(size) for size in details[0]["shape"])
        signature = [int(size) for size in details[0]["shape_signature"]]
        if signature[1] > 0:
            return TextInput(batch=None if signature[0] < 0 else batch, length=length, dtype=dtype)
    raise _unusable(path, "inputs=" + _listed(details))


def _output(details: list[dict[str, Any]], path: Path, classes: int) -> dict[str, Any]:
    """Return the details of the output: the only matrix, else the one with ``classes`` columns."""
    matrices = [d for d in details if d["dtype"] in _OUTPUT_TYPES and len(d["shape"]) == 2]
    for candidates in (matrices, [d for d in matrices if int(d["shape"][1]) == classes]):
        if len(candidates) == 1:
            return candidates[0]
    raise _unusable(path, "outputs=" + _listed(details))


def _dequantized(values: AnyArray, details: dict[str, Any]) -> Float32Array:
    if values.dtype == np.float32:
        return np.array(values)
    scale, zero_point = details["quantization"]
    return np.asarray((values.astype(np.int32) - zero_point) * np.float32(scale), np.float32)


def _listed(details: list[dict[str, Any]]) -> str:
    return ", ".join(f"{d['name']} {np.dtype(d['dtype']).name}{[int(s) for s in d['shape_signature']]}" for d in details)
