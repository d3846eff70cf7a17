"""Teachers in LiteRT files (``.tflite``), run by ai-edge-litert from memory with its built-in operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError, missing_extra
from understudy.teachers.class_order import names_beside
from understudy.teachers.image_input import ImageInput
from understudy.teachers.image_model import BATCH as IMAGE_BATCH
from understudy.teachers.image_model import ImageModel, NotForImagesError, RunError, model_file_image_model
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
_PIXEL_TYPES = ("float32", "int8", "uint8", "int16", "int32")
_OUTPUT_TYPES = (np.float32, np.int8, np.uint8)


def litert_teacher(path: Path, *, classes: int | None) -> ModelFileTeacher:
    """Return the teacher for texts in the LiteRT file ``path``.

    Its input is UTF-8 bytes int32 or uint8 ``[N, L]``, zero-padded; quantized outputs are dequantized.

    Raises:
        InputError: unreadable, operators that are not built in, or an input or output that is not text to classes.
        SetupError: the packages of the ``litert`` extra are not installed.
    """
    content, interpreter = _open(path)
    text_input = _text_input(interpreter.get_input_details(), path)
    if text_input.batch is None:
        text_input = TextInput(batch=BATCH, length=text_input.length, dtype=text_input.dtype)
        _allocate(interpreter, path, batch=BATCH)
    else:
        _allocate(interpreter, path, batch=None)
    source = interpreter.get_input_details()[0]["index"]
    output = _output(interpreter.get_output_details(), path, classes, unusable=_unusable)

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


def litert_image_model(path: Path, *, classes: int | None) -> ImageModel:
    """Return the model for images in the LiteRT file ``path``: one tensor of pixels in, ``[N, classes]`` out.

    Raises:
        InputError: unreadable, operators that are not built in, or an input or output that is not images to classes.
        SetupError: the packages of the ``litert`` extra are not installed.
    """
    content, interpreter = _open(path)
    inputs = interpreter.get_input_details()
    if len(inputs) != 1 or np.dtype(inputs[0]["dtype"]).name not in _PIXEL_TYPES or len(inputs[0]["shape"]) < 2:
        raise _no_images(path, "inputs=" + _listed(inputs))
    signature = [int(size) for size in inputs[0]["shape_signature"]]
    try:
        _allocate(interpreter, path, batch=IMAGE_BATCH if signature[0] < 0 else None)
    except InputError:  # some files say that any batch will do, and hold a layer that knows one only
        _allocate(interpreter, path, batch=1)
    source = interpreter.get_input_details()[0]
    output = _output(interpreter.get_output_details(), path, classes, unusable=_no_images)

    def run(tensor: AnyArray) -> Float32Array:
        try:
            interpreter.set_tensor(source["index"], tensor)
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise RunError(str(_no_images(path, f"a run that failed ({str(error)[:200]})"))) from None
        return _dequantized(interpreter.get_tensor(output["index"]), output)

    dtype = np.dtype(source["dtype"])
    scale, zero_point = source["quantization"]
    image_input = ImageInput(
        batch=int(source["shape"][0]),
        sizes=tuple(int(size) for size in source["shape"][1:]),
        dtype=dtype.name,
        quantization=(float(scale), int(zero_point)) if dtype.kind in "iu" and scale else None,
    )
    return model_file_image_model(path, content, run=run, image_input=image_input, format_name="LiteRT")


def _open(path: Path) -> tuple[bytes, Any]:
    """Return the content of ``path`` and an interpreter of it, not allocated yet."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        raise missing_extra(purpose="using a LiteRT file as teacher", extra="litert") from None
    content = read_file(path)
    try:
        return content, Interpreter(model_content=content, num_threads=1)
    except (ValueError, RuntimeError) as error:
        raise unreadable(path, format_name="LiteRT", reason=error) from None


def _allocate(interpreter: Any, path: Path, *, batch: int | None) -> None:
    """Allocate the tensors, with ``batch`` examples where the file leaves their number open."""
    details = interpreter.get_input_details()[0]
    try:
        if batch is not None:
            interpreter.resize_tensor_input(details["index"], [batch, *details["shape"][1:]], strict=True)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise unreadable(path, format_name="LiteRT", reason=error) from None


def _unusable(path: Path, received: str) -> InputError:
    return InputError(
        "a LiteRT teacher takes one input, UTF-8 bytes int32 or uint8 [N, L], and gives [N, classes]: "
        f"received {received} in teacher={str(path)!r}; "
        "put its own preparation of texts around it in a Python function and give file.py:name"
    )


def _no_images(path: Path, received: str) -> NotForImagesError:
    return NotForImagesError(
        "a LiteRT teacher for images takes one tensor of pixels and gives [N, classes]: "
        f"received {received} in teacher={str(path)!r}; "
        "put its own preparation of images around it in a Python function and give file.py:name"
    )


def _text_input(details: list[dict[str, Any]], path: Path) -> TextInput:
    dtype = np.dtype(details[0]["dtype"]).name if len(details) == 1 else ""
    if dtype in _BYTE_TYPES and len(details[0]["shape"]) == 2:
        batch, length = (int(size) for size in details[0]["shape"])
        signature = [int(size) for size in details[0]["shape_signature"]]
        if signature[1] > 0:
            return TextInput(batch=None if signature[0] < 0 else batch, length=length, dtype=dtype)
    raise _unusable(path, "inputs=" + _listed(details))


def _output(
    details: list[dict[str, Any]], path: Path, classes: int | None, *, unusable: Callable[[Path, str], InputError]
) -> dict[str, Any]:
    """Return the details of the output: the only matrix, else the one with ``classes`` columns."""
    matrices = [d for d in details if d["dtype"] in _OUTPUT_TYPES and len(d["shape"]) == 2]
    for candidates in (matrices, [d for d in matrices if classes in (None, int(d["shape"][1]))]):
        if len(candidates) == 1:
            return candidates[0]
    raise unusable(path, "outputs=" + _listed(details))


def _dequantized(values: AnyArray, details: dict[str, Any]) -> Float32Array:
    if values.dtype == np.float32:
        return np.array(values)
    scale, zero_point = details["quantization"]
    return np.asarray((values.astype(np.int32) - zero_point) * np.float32(scale), np.float32)


def _listed(details: list[dict[str, Any]]) -> str:
    return ", ".join(f"{d['name']} {np.dtype(d['dtype']).name}{[int(s) for s in d['shape_signature']]}" for d in details)
