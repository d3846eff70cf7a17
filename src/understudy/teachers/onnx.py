"""Teachers in ONNX files, run by onnxruntime from memory: no external data, no custom operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.errors import InputError, missing_extra
from understudy.teachers.class_order import names_beside
from understudy.teachers.image_input import ImageInput
from understudy.teachers.image_model import ImageModel, NotForImagesError, RunError, model_file_image_model
from understudy.teachers.model_file import (
    AnyArray,
    ModelFileTeacher,
    TextInput,
    model_file_teacher,
    read_file,
    unreadable,
)
from understudy.teachers.protocol import Float32Array

if TYPE_CHECKING:
    import onnx

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Operators that onnxruntime brings itself; any other domain needs a library that the file would have to name."""
_BYTE_TYPES = {"tensor(int32)": "int32", "tensor(uint8)": "uint8"}
_FLOAT_TYPES = {"tensor(float)", "tensor(double)", "tensor(float16)"}
_PIXEL_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    **{f"tensor({name})": name for name in ("uint8", "int8", "int16", "int32", "int64")},
}


def onnx_teacher(path: Path, *, classes: int | None) -> ModelFileTeacher:
    """Return the teacher for texts in the ONNX file ``path``.

    Its input is a string tensor ``[N]`` or ``[N, 1]``, or UTF-8 bytes int32 or uint8 ``[N, L]``, zero-padded.

    Raises:
        InputError: unreadable, external data, custom operators, or an input or output that is not text to classes.
        SetupError: the packages of the ``onnx`` extra are not installed.
    """
    content, session = _open(path)
    inputs = session.get_inputs()
    text_input = _text_input(inputs, path)
    output, input_name = _output(session.get_outputs(), path, classes, unusable=_unusable), str(inputs[0].name)

    def run(tensor: AnyArray) -> Float32Array:
        try:
            values = np.asarray(session.run([output], {input_name: tensor})[0], np.float32)
        except _runtime_errors() as error:
            raise _unusable(path, f"a run that failed ({str(error)[:200]})") from None
        if values.ndim != 2 or len(values) != len(tensor):
            raise _unusable(path, f"output shape={values.shape} for texts={len(tensor)}")
        return values

    return model_file_teacher(path, content, run=run, text_input=text_input, class_names=names_beside(path), format_name="ONNX")


def onnx_image_model(path: Path, *, classes: int | None) -> ImageModel:
    """Return the model for images in the ONNX file ``path``: one tensor of pixels in, ``[N, classes]`` out.

    Raises:
        InputError: unreadable, external data, custom operators, or an input or output that is not images to classes.
        SetupError: the packages of the ``onnx`` extra are not installed.
    """
    content, session = _open(path)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _PIXEL_TYPES or len(inputs[0].shape) < 2:
        raise _no_images(path, "inputs=" + _listed(inputs))
    output, input_name = _output(session.get_outputs(), path, classes, unusable=_no_images), str(inputs[0].name)
    batch, *sizes = (size if isinstance(size, int) else None for size in inputs[0].shape)

    def run(tensor: AnyArray) -> Float32Array:
        try:
            return np.asarray(session.run([output], {input_name: tensor})[0], np.float32)
        except _runtime_errors() as error:
            raise RunError(str(_no_images(path, f"a run that failed ({str(error)[:200]})"))) from None

    image_input = ImageInput(batch=batch, sizes=tuple(sizes), dtype=_PIXEL_TYPES[inputs[0].type])
    return model_file_image_model(path, content, run=run, image_input=image_input, format_name="ONNX")


def _open(path: Path) -> tuple[bytes, Any]:
    """Return the content of ``path`` and a session that runs it."""
    try:
        import onnx
        import onnxruntime
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise missing_extra(purpose="using an ONNX file as teacher", extra="onnx") from None
    content = read_file(path)
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise unreadable(path, format_name="ONNX", reason=error) from None
    _refuse_foreign_parts(model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return content, onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except _runtime_errors() as error:
        raise unreadable(path, format_name="ONNX", reason=error) from None


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return onnxruntime's exceptions; they share no base class of their own."""
    import onnxruntime.capi.onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException", "NoModel")
    return (*(getattr(state, name) for name in names), RuntimeError, ValueError)


def _unusable(path: Path, received: str) -> InputError:
    return InputError(
        "an ONNX teacher takes one text input, strings [N] or [N, 1] or UTF-8 bytes int32 or uint8 [N, L], and gives "
        f"floats [N, classes]: received {received} in teacher={str(path)!r}; "
        "put its own preparation of texts around it in a Python function and give file.py:name"
    )


def _no_images(path: Path, received: str) -> NotForImagesError:
    return NotForImagesError(
        "an ONNX teacher for images takes one tensor of pixels and gives floats [N, classes]: "
        f"received {received} in teacher={str(path)!r}; "
        "put its own preparation of images around it in a Python function and give file.py:name"
    )


def _refuse_foreign_parts(model: onnx.ModelProto, path: Path) -> None:
    import onnx

    functions = {function.domain for function in model.functions}
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            raise InputError(
                f"an ONNX teacher holds all its data itself: received tensor={message.name!r} with external data in "
                f"teacher={str(path)!r}; save it in one file: onnx.save(model, path, save_as_external_data=False)"
            )
        if isinstance(message, onnx.NodeProto) and message.domain not in _DOMAINS | functions:
            raise InputError(
                f"an ONNX teacher uses standard operators: received operator={message.op_type!r} of "
                f"domain={message.domain!r} in teacher={str(path)!r}; export it without custom operators"
            )


def _messages(message: Any) -> Iterator[Any]:
    """Yield every tensor and node inside a protobuf message, at any depth: subgraphs, functions, sparse tensors."""
    import onnx

    if isinstance(message, onnx.TensorProto | onnx.NodeProto):
        yield message
    if isinstance(message, onnx.TensorProto):
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if isinstance(value, Iterable) else (value,):
                yield from _messages(child)


def _text_input(inputs: list[Any], path: Path) -> TextInput:
    """Return the layout of the only input; dimensions that are not integers are free."""
    if len(inputs) == 1:
        kind, shape = inputs[0].type, list(inputs[0].shape)
        batch = shape[0] if shape and isinstance(shape[0], int) else None
        if kind == "tensor(string)" and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            return TextInput(batch=batch, column=len(shape) == 2)
        if kind in _BYTE_TYPES and len(shape) == 2 and isinstance(shape[1], int):
            return TextInput(batch=batch, length=shape[1], dtype=_BYTE_TYPES[kind])
    raise _unusable(path, "inputs=" + _listed(inputs))


def _output(outputs: list[Any], path: Path, classes: int | None, *, unusable: Callable[[Path, str], InputError]) -> str:
    """Return the name of the output: the only float matrix, else the one called logits, else the one with ``classes``."""
    # exported networks may keep the axes of an image, each of one place, behind the classes
    floats = [o for o in outputs if o.type in _FLOAT_TYPES and len(o.shape) >= 2 and all(size == 1 for size in o.shape[2:])]
    fitting = [o for o in floats if classes is None or o.shape[1] == classes]
    for candidates in (floats, [o for o in fitting if "logits" in o.name.lower()], fitting):
        if len(candidates) == 1:
            return str(candidates[0].name)
    raise unusable(path, "outputs=" + _listed(outputs))


def _listed(tensors: list[Any]) -> str:
    return ", ".join(f"{t.name} {t.type}{t.shape}" for t in tensors)
