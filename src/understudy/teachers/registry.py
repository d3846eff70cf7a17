"""From what a user hands over as teacher to a ``Teacher``; frameworks are recognised without importing them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError
from understudy.teachers.callable import (
    CallableTeacher,
    callable_teacher,
    function_of,
    import_object,
    is_python_name,
    object_name,
    own_teacher,
)
from understudy.teachers.class_order import ATTRIBUTES, OrderedTeacher, in_class_order, names_of
from understudy.teachers.keras import is_keras
from understudy.teachers.protocol import LOADS, TextTeacher, as_array, behaviour_digest, users_code
from understudy.teachers.saved_logits import npz_teacher, parquet_teacher, saved_logits
from understudy.teachers.saved_model import is_saved_model

KINDS = (
    "a Python function (module:name or file.py:name), saved logits (.npz, .parquet, .pt), an ONNX file (.onnx), "
    "a LiteRT file (.tflite), a torch program (.pt2) or for images a Keras file (.keras, .h5) "
    "or a folder with a TensorFlow SavedModel"
)
_CODE_FILES = {".pkl", ".pickle", ".joblib", ".dill"}
TORCH_FILES = {".pt", ".pth", ".ckpt", ".bin"}


def load_text_teacher(
    source: Any, *, class_names: Sequence[str], training_texts: Sequence[str] | None = None
) -> OrderedTeacher[Sequence[str]]:
    """Return the teacher for texts that ``source`` is or names, its columns in the order of ``class_names``.

    A name of the form ``module:name`` or ``file.py:name`` **runs the user's code**. No file of any other kind is allowed
    to run code.

    Args:
        source: a path or name (see ``KINDS``), a function from texts to logits, a torch module, a text-classification
            pipeline of transformers, an object with ``logits(texts)``, or an array ``[rows, classes]`` that belongs to
            ``training_texts``.
        class_names: the classes of the data.
        training_texts: texts of the training file in its order, for saved logits that do not hold their texts.

    Raises:
        InputError: no such file, unreadable, unsafe, of no known kind, or made for other classes.
        SetupError: the packages that the kind needs are not installed.
    """
    found, name = resolve(source)
    return in_class_order(text_teacher(found, class_names=class_names, training_texts=training_texts, name=name), class_names)


def text_teacher(
    source: Any, *, class_names: Sequence[str], training_texts: Sequence[str] | None = None, name: str | None
) -> TextTeacher:
    """Return the teacher for texts in the file or object ``source``, its columns as they come.

    Args:
        source: what ``resolve`` returned.
        class_names: of the data, empty where they are not known.
        training_texts: see ``load_text_teacher``.
        name: of a Python object that was imported.

    Raises:
        InputError: unreadable or of no known kind.
        SetupError: the packages that the kind needs are not installed.
    """
    if isinstance(source, Path):
        return _text_file(source, class_names=class_names, training_texts=training_texts)
    return _text_object(source, training_texts=training_texts, name=name)


def resolve(source: Any) -> tuple[Any, str | None]:
    """Return what ``source`` stands for, a file's path or an object, and the name of a Python object that was imported.

    Raises:
        InputError: no such file or name, a file that would run code, or the user's code fails.
    """
    if not isinstance(source, str | Path):
        _look_at(source, name=object_name(source))
        return source, None
    if isinstance(source, str) and is_python_name(source):
        found = import_object(source)
        with users_code(source, rule=LOADS):
            # A function without required arguments is a loader; any other one takes examples.
            is_model = hasattr(found, "logits") or is_torch(found) or is_keras(found)
            if callable(found) and not is_model and _takes_nothing(found):
                found = found()
        _look_at(found, name=source)
        return found, source
    path = Path(source)
    if not _is_model(path):
        raise InputError(
            f"a teacher is {KINDS}: received teacher={str(source)!r}, which is no file; check the path or the name"
        )
    if path.suffix.lower() in _CODE_FILES:
        raise InputError(
            f"a teacher's file must not run code when it is loaded, and a pickle does: received teacher={str(source)!r}; "
            "load it in your own code and give file.py:name, or export it to ONNX"
        )
    return path, None


def _look_at(source: Any, *, name: str) -> None:
    """Read what every kind of teacher is asked for: a property that raises is the user's code, wherever it is read next."""
    with users_code(name, rule=LOADS):
        for attribute in ("logits", "name", *ATTRIBUTES):
            getattr(source, attribute, None)


def unknown_kind(path: Path) -> InputError:
    """Return the error for a file whose ending says nothing."""
    return InputError(
        f"a teacher is {KINDS}: received teacher={str(path)!r}; convert it to one of these, or load it in a Python "
        "function and give file.py:name"
    )


def _text_file(path: Path, *, class_names: Sequence[str], training_texts: Sequence[str] | None) -> TextTeacher:
    suffix = path.suffix.lower()
    if suffix in TORCH_FILES:
        from understudy.teachers.torch import torch_file_teacher

        return torch_file_teacher(path, training_texts=training_texts)
    loaders: dict[str, Callable[[], TextTeacher]] = {
        ".npz": lambda: npz_teacher(path, training_texts=training_texts),
        ".parquet": lambda: parquet_teacher(path, class_names=class_names, training_texts=training_texts),
        ".onnx": lambda: _onnx(path, len(class_names) or None),
        ".tflite": lambda: _litert(path, len(class_names) or None),
        ".pt2": lambda: _torch_program(path),
    }
    if suffix not in loaders:
        raise unknown_kind(path)
    return loaders[suffix]()


def _is_model(path: Path) -> bool:
    try:
        return path.is_file() or is_saved_model(path)
    except OSError:  # a name too long for any file
        return False


def _text_object(source: Any, *, training_texts: Sequence[str] | None, name: str | None) -> TextTeacher:
    if is_torch(source):
        from understudy.teachers.torch import torch_teacher

        return torch_teacher(source)
    if is_torch(getattr(source, "model", None)) and callable(getattr(source, "tokenizer", None)):
        from understudy.teachers.torch import pipeline_teacher

        return pipeline_teacher(source)
    complete = own_teacher(source)
    if complete is not None:
        return complete
    if isinstance(source, np.ndarray) and training_texts is not None:
        return saved_logits(
            source,
            texts=training_texts,
            name="array",
            digest=behaviour_digest(as_array(source, name="array")),
            class_names=None,
            summary="logits in an array, rows in the order of the training file",
        )
    function = function_of(source)
    if function is not None and function is source:
        return callable_teacher(function, name=name)
    if function is not None:
        return CallableTeacher(function, name or str(getattr(source, "name", type(source).__name__)), names_of(source))
    raise InputError(
        f"a teacher is a function from texts to logits, a torch module, a text-classification pipeline of transformers, an "
        f"object with logits(texts) or predict_proba(texts), or the name of "
        f"{KINDS}: received type={type(source).__name__!r}; {step_for(source)}"
    )


def step_for(source: Any) -> str:
    """Return what to do with an object that is no teacher."""
    if isinstance(source, Mapping) and any(type(each).__name__ == "Tensor" for each in source.values()):
        return "load weights into the module that they are of, module.load_state_dict(...), and give that"
    return "wrap it in a function"


def is_torch(source: Any) -> bool:
    """Return whether ``source`` is a torch module; if torch was never imported, it cannot be one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have no signature
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _onnx(path: Path, classes: int | None) -> TextTeacher:
    from understudy.teachers.onnx import onnx_teacher

    return onnx_teacher(path, classes=classes)


def _litert(path: Path, classes: int | None) -> TextTeacher:
    from understudy.teachers.litert import litert_teacher

    return litert_teacher(path, classes=classes)


def _torch_program(path: Path) -> TextTeacher:
    from understudy.teachers.torch_program import torch_program_teacher

    return torch_program_teacher(path)
