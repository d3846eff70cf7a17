"""From what a user hands over as teacher to a teacher for images; see ``registry.py`` for texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.teachers.callable import CallableTeacher, function_of, own_teacher
from understudy.teachers.class_order import OrderedTeacher, in_class_order, names_of
from understudy.teachers.image_input import Shape
from understudy.teachers.image_logits import ImageLogits, image_logits
from understudy.teachers.image_model import ImageModel, labelled_teacher, test_patterns
from understudy.teachers.keras import is_keras, keras_file_model, keras_object_model
from understudy.teachers.protocol import ExampleArray, ImageTeacher, UInt8Array, as_array, behaviour_digest
from understudy.teachers.registry import KINDS, TORCH_FILES, is_torch, resolve, step_for, unknown_kind
from understudy.teachers.saved_logits import npz_teacher, parquet_teacher, saved_logits
from understudy.teachers.saved_model import saved_model_image_model

Int64Array = npt.NDArray[np.int64]
MODEL_FILES = {".onnx", ".tflite", ".pt2", ".keras", ".h5", ".hdf5"}
_LOGIT_FILES = {".npz", ".parquet", *TORCH_FILES}


def load_image_teacher(
    source: Any,
    *,
    class_names: Sequence[str],
    images: UInt8Array,
    labels: Int64Array,
    numbered: bool,
    training_images: Callable[[], UInt8Array],
) -> OrderedTeacher[UInt8Array]:
    """Return the teacher for images that ``source`` is or names, its columns in the order of ``class_names``.

    How it takes images is found out with ``images`` and their ``labels``; ``describe`` says what was found.

    Args:
        source: a path or name (see ``registry.KINDS``), a function from images to logits, a model object of a framework,
            an object with ``logits(images)``, or an array ``[rows, classes]`` that belongs to the training images.
        class_names: the classes of the data.
        images: training images uint8 ``[N, H, W, C]``.
        labels: int64 ``[N]``.
        numbered: the classes are whole numbers in an array of labels, so that columns without names follow their values.
        training_images: gives all images of the training file in its order, for saved logits.

    Raises:
        InputError: no such file, unreadable, unsafe, of no known kind, for images of another shape or other classes.
        SetupError: the packages that the kind needs are not installed.
    """
    found, name = resolve(source)
    logits: ImageTeacher | None = saved_logits_of(found, class_names=class_names, training_examples=training_images)
    if logits is not None:
        return in_class_order(logits, class_names, numbered=numbered)
    height, width, channels = images.shape[1:]
    own = own_code(found, (height, width, channels), name=name)
    if own is not None:
        return in_class_order(own, class_names, numbered=numbered)
    model = image_model(found, classes=len(class_names))
    return labelled_teacher(model, class_names=class_names, images=images, labels=labels, numbered=numbered)


def image_model(source: Any, *, classes: int | None) -> ImageModel:
    """Return the model in the file or object ``source``.

    Raises:
        InputError: unreadable, of no known kind, or its input or output is not images to classes.
        SetupError: the packages that the kind needs are not installed.
    """
    if not isinstance(source, Path):
        return _object_model(source)
    loaders: dict[str, Callable[[], ImageModel]] = {
        ".onnx": lambda: _onnx(source, classes),
        ".tflite": lambda: _litert(source, classes),
        ".pt2": lambda: _torch_program(source),
        ".keras": lambda: keras_file_model(source),
        ".h5": lambda: keras_file_model(source),
        ".hdf5": lambda: keras_file_model(source),
    }
    if source.is_dir():
        return saved_model_image_model(source)
    suffix = source.suffix.lower()
    if suffix in TORCH_FILES:
        from understudy.teachers.torch import no_model

        raise no_model(source)
    if suffix in _LOGIT_FILES:
        raise InputError(
            f"saved logits answer the examples that they were saved for alone: received teacher={str(source)!r}; give them to "
            "understudy compress"
        )
    if suffix not in loaders:
        raise unknown_kind(source)
    return loaders[suffix]()


def input_shape(source: Any) -> Shape | None:
    """Return height, width and channels of the images that a model file or a Keras model takes, None where it leaves them open.

    None too for what is no such model or cannot be read: that is said where it is loaded.
    """
    is_file = isinstance(source, Path) and (source.is_dir() or source.suffix.lower() in MODEL_FILES)
    if not is_file and not is_keras(source):
        return None
    try:
        return image_model(source, classes=None).input.image_shape()
    except InputError:
        return None


def _object_model(source: Any) -> ImageModel:
    if is_keras(source):  # on torch, a Keras model is a torch module too
        return keras_object_model(source)
    if _holds_torch(source):
        from understudy.teachers.torch_image import torch_image_model

        return torch_image_model(source)
    raise InputError(
        f"a teacher for images is a function from images to logits, a torch module, a Keras model, an object with "
        f"logits(images), or the name of {KINDS}: received type={type(source).__name__!r}; {step_for(source)}"
    )


def own_code(source: Any, shape: Shape, *, name: str | None) -> ImageTeacher | None:
    """Return the teacher around the user's own code, which takes uint8 images of ``shape`` as they are; None for a model."""
    if is_torch(source) and not is_keras(source) and callable(getattr(source, "prepare", None)):
        from understudy.teachers.torch import torch_teacher

        return CallableTeacher(torch_teacher(source).logits, type(source).__name__, names_of(source), test_patterns(shape))
    function = function_of(source) if is_own_code(source) else None
    if function is None:
        return None
    complete = own_teacher(source)
    if complete is not None:
        return complete
    own_name = name or getattr(source, "__qualname__", None) or type(source).__name__
    return CallableTeacher(function, own_name, names_of(source), probes=test_patterns(shape))


def is_own_code(source: Any) -> bool:
    """Return whether ``source`` is the user's own function or object (see ``function_of``), no model of a framework."""
    if isinstance(source, Path) or is_keras(source) or _holds_torch(source):
        return False
    return function_of(source) is not None


def _holds_torch(source: Any) -> bool:
    """Return whether ``source`` is a torch module, or has one beside an image processor, as a pipeline of transformers."""
    return is_torch(source) or (hasattr(source, "image_processor") and is_torch(getattr(source, "model", None)))


def saved_logits_of(
    source: Any, *, class_names: Sequence[str], training_examples: Callable[[], ExampleArray]
) -> ImageLogits | None:
    """Return the logits in ``source``, an array or a file, whose rows belong to ``training_examples``; None for a model.

    Raises:
        InputError: a file that cannot be used.
        SetupError: the packages that it needs are not installed.
    """
    if isinstance(source, np.ndarray):
        return image_logits(
            training_examples(),
            lambda keys: saved_logits(
                source,
                texts=keys,
                name="array",
                digest=behaviour_digest(as_array(source, name="array")),
                class_names=None,
                summary="logits in an array, rows in the order of the training file",
            ),
        )
    if not isinstance(source, Path) or source.suffix.lower() not in _LOGIT_FILES:
        return None
    path = source
    if path.suffix.lower() == ".npz":
        return image_logits(training_examples(), lambda keys: npz_teacher(path, training_texts=keys))
    if path.suffix.lower() == ".parquet":
        return image_logits(
            training_examples(), lambda keys: parquet_teacher(path, class_names=class_names, training_texts=keys)
        )
    from understudy.teachers.torch import torch_file_teacher

    return image_logits(training_examples(), lambda keys: torch_file_teacher(path, training_texts=keys))


def _onnx(path: Path, classes: int | None) -> ImageModel:
    from understudy.teachers.onnx import onnx_image_model

    return onnx_image_model(path, classes=classes)


def _litert(path: Path, classes: int | None) -> ImageModel:
    from understudy.teachers.litert import litert_image_model

    return litert_image_model(path, classes=classes)


def _torch_program(path: Path) -> ImageModel:
    from understudy.teachers.torch_program import torch_program_image_model

    return torch_program_image_model(path)
