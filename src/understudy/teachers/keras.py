"""Teachers that are Keras models: objects, ``.keras`` files of Keras 3, and ``.h5`` files of Keras 2 and 3.

Files are run by Keras 3 on torch, so that TensorFlow is not needed; a Keras that is loaded already keeps its own backend.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError, missing_extra
from understudy.teachers.class_order import names_beside, names_of
from understudy.teachers.image_input import AnyArray, ImageInput
from understudy.teachers.image_model import ImageModel, NotForImagesError, RunError
from understudy.teachers.model_file import file_summary, read_file, unreadable
from understudy.teachers.protocol import Float32Array, as_array, users_code

# Keras has no error of its own for a file: what a damaged one raises depends on the place of the damage
_DAMAGES = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, AssertionError),
    zipfile.BadZipFile,
)

_NEVER_GROUPED = tuple(f"{name}{axes}D" for name in ("DepthwiseConv", "SeparableConv") for axes in (1, 2)) + tuple(
    f"Conv{axes}DTranspose" for axes in (1, 2, 3)
)
"""Layers that Keras 2 writes with what all its convolutions have, and Keras 3 makes with what they use alone."""
_OF_ONE_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")


def is_keras(source: Any) -> bool:
    """Return whether ``source`` is a Keras model; if Keras was never imported, it cannot be one."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(source, getattr(keras, "Model", ()))


def keras_file_model(path: Path) -> ImageModel:
    """Return the model for images in the ``.keras`` or ``.h5`` file ``path``.

    Raises:
        InputError: unreadable, a Lambda layer or another part that runs code from the file, or more than one input.
        SetupError: the packages of the ``keras`` extra are not installed.
    """
    content = read_file(path)
    try:
        with _quiet_import():
            import keras
    except ModuleNotFoundError:
        raise missing_extra(purpose="using a Keras file as teacher", extra="keras") from None
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise unreadable(path, format_name="Keras", reason="it is no zip archive")  # Keras would say that it is not there
    try:
        model = keras.models.load_model(path, custom_objects=_layers_of_keras_2(keras), compile=False, safe_mode=True)
    except _DAMAGES as error:
        if re.search(r"\bLambda\b|safe_mode", str(error)):
            raise InputError(
                f"a Keras file must not run code when it is loaded, and a Lambda layer does: received teacher={str(path)!r}; "
                "load it in your own code and give file.py:name, or export it to ONNX"
            ) from None
        if (layer := _unknown_layer(str(error))) is not None:
            raise InputError(
                f"a teacher's Keras file has layers that Keras {keras.__version__} makes: received teacher={str(path)!r} with "
                f"{layer}; load it in your own code and give file.py:name, or export it to ONNX"
            ) from None
        raise unreadable(path, format_name="Keras", reason=error) from None
    return _model(
        model,
        name=path.name,
        digest=hashlib.sha256(content).hexdigest(),
        class_names=names_beside(path),
        summary=file_summary(path, content, format_name="Keras"),
        size_bytes=len(content),
        opaque=False,
    )


def _layers_of_keras_2(keras: Any) -> dict[str, Any]:
    """Return layers of ``keras`` that Keras 2 describes in words which Keras 3 refuses, made to pass over these, by name."""

    def tolerant(layer: Any) -> Any:
        has_two_kernels = not layer.__name__.endswith("Transpose")

        def from_config(config: dict[str, Any]) -> Any:
            unused = ("groups" if config.get("groups") == 1 else "", *(_OF_ONE_KERNEL if has_two_kernels else ()))
            return layer.from_config({name: value for name, value in config.items() if name not in unused})

        return type(layer.__name__, (layer,), {"from_config": staticmethod(from_config)})

    return {name: tolerant(getattr(keras.layers, name)) for name in _NEVER_GROUPED}


def _unknown_layer(said: str) -> str | None:
    """Return which layer of a file Keras does not make and why, from what it ``said``; None where it was something else."""
    if found := re.search(r"deserializing class '(\w+)'.*Exception encountered: ([^\n]*)", said, re.DOTALL):
        return f"a {found[1]} ({found[2][:200]})"
    if found := re.search(r"(?:Unknown layer:|Could not locate class) '(\w+)'", said):
        return f"a {found[1]}, which is not known"
    return None


def keras_object_model(model: Any) -> ImageModel:
    """Return the model for images around a Keras model of the user."""
    with _without_remarks():
        weights = [np.ascontiguousarray(weight) for weight in model.get_weights()]
    digest = hashlib.sha256(model.to_json().encode())
    for weight in weights:
        digest.update(weight.tobytes())
    return _model(
        model,
        name=str(model.name),
        digest=digest.hexdigest(),
        class_names=names_of(model),
        summary=f"Keras model {model.name} with {sum(weight.size for weight in weights):,} parameters",
        size_bytes=sum(weight.nbytes for weight in weights),
        opaque=True,
    )


def _model(model: Any, *, name: str, **described: Any) -> ImageModel:
    inputs = list(getattr(model, "inputs", None) or [])
    if len(inputs) > 1:
        listed = ", ".join(f"{found.name}{list(found.shape)}" for found in inputs)
        raise NotForImagesError(
            f"a Keras teacher for images takes one tensor of pixels: received inputs={listed} in teacher={name!r}; "
            "put its own preparation of images around it in a Python function and give file.py:name"
        )
    batch, *sizes = inputs[0].shape if inputs else (None,)

    def run(values: AnyArray) -> Float32Array:
        try:
            with users_code(name), _without_remarks():
                answer = model.predict_on_batch(values)
        except InputError as error:
            raise RunError(" ".join(str(error).split())[:600]) from error
        return as_array(answer, name=name)

    dtype = str(inputs[0].dtype) if inputs else "float32"
    return ImageModel(
        run=run, input=ImageInput(batch=batch, sizes=tuple(sizes) if inputs else None, dtype=dtype), name=name, **described
    )


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep Keras from warning of how it calls NumPy, and of an input whose name in the file the tensor does not bear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Choose torch for a Keras that is not loaded yet, and keep it from reading and writing settings in the home folder."""
    before = {name: os.environ.get(name) for name in ("KERAS_BACKEND", "KERAS_HOME")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(KERAS_BACKEND="torch", KERAS_HOME=folder)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
