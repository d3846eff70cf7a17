"""From what a user hands over as teacher to a ``Teacher``; frameworks are recognised without importing them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError
from understudy.teachers.callable import callable_teacher, import_object, is_python_name
from understudy.teachers.class_order import OrderedTeacher, in_class_order, names_of
from understudy.teachers.protocol import Teacher, behaviour_digest
from understudy.teachers.saved_logits import npz_teacher, parquet_teacher, saved_logits

KINDS = (
    "a Python function (module:name or file.py:name), saved logits (.npz, .parquet, .pt), an ONNX file (.onnx), "
    "a LiteRT file (.tflite) or a torch program (.pt2)"
)
_CODE_FILES = {".pkl", ".pickle", ".joblib", ".dill"}
_TORCH_FILES = {".pt", ".pth", ".ckpt", ".bin"}


def load_teacher(source: Any, *, class_names: Sequence[str], training_texts: Sequence[str] | None = None) -> OrderedTeacher:
    """Return the teacher that ``source`` is or names, its columns in the order of ``class_names``.

    A name of the form ``module:name`` or ``file.py:name`` **runs the user's code**. No file of any other kind is allowed
    to run code.

    Args:
        source: a path or name (see ``KINDS``), a function from texts to logits, a torch module, an object with
            ``logits(texts)``, or an array ``[rows, classes]`` that belongs to ``training_texts``.
        class_names: the classes of the data.
        training_texts: texts of the training file in its order, for saved logits that do not hold their texts.

    Raises:
        InputError: no such file, unreadable, unsafe, of no known kind, or made for other classes.
        SetupError: the packages that the kind needs are not installed.
    """
    if isinstance(source, str | Path):
        teacher = _from_name(source, class_names=class_names, training_texts=training_texts)
    else:
        teacher = _from_object(source, training_texts=training_texts)
    return in_class_order(teacher, class_names)


def _from_name(source: str | Path, *, class_names: Sequence[str], training_texts: Sequence[str] | None) -> Teacher:
    path = Path(source)
    if isinstance(source, str) and is_python_name(source):
        found = import_object(source)
        # A function without required arguments is a loader; any other one takes texts.
        if callable(found) and not hasattr(found, "logits") and not _is_torch(found) and _takes_nothing(found):
            found = found()
        return _from_object(found, training_texts=training_texts, name=source)
    if not _is_file(path):
        raise InputError(
            f"a teacher is {KINDS}: received teacher={str(source)!r}, which is no file; check the path or the name"
        )
    suffix = path.suffix.lower()
    if suffix in _CODE_FILES:
        raise InputError(
            f"a teacher's file must not run code when it is loaded, and a pickle does: received teacher={str(source)!r}; "
            "load it in your own code and give file.py:name, or export it to ONNX"
        )
    if suffix in _TORCH_FILES:
        from understudy.teachers.torch import torch_file_teacher

        return torch_file_teacher(path, training_texts=training_texts)
    loaders: dict[str, Callable[[], Teacher]] = {
        ".npz": lambda: npz_teacher(path, training_texts=training_texts),
        ".parquet": lambda: parquet_teacher(path, class_names=class_names, training_texts=training_texts),
        ".onnx": lambda: _onnx(path, len(class_names)),
        ".tflite": lambda: _litert(path, len(class_names)),
        ".pt2": lambda: _torch_program(path),
    }
    if suffix not in loaders:
        raise InputError(
            f"a teacher is {KINDS}: received teacher={str(source)!r}; convert it to one of these, or load it in a Python "
            "function and give file.py:name"
        )
    return loaders[suffix]()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def _from_object(source: Any, *, training_texts: Sequence[str] | None, name: str | None = None) -> Teacher:
    if _is_torch(source):
        from understudy.teachers.torch import torch_teacher

        return torch_teacher(source)
    if all(hasattr(source, part) for part in ("name", "digest", "class_names", "describe", "covers", "logits")):
        complete: Teacher = source
        return complete
    if isinstance(source, np.ndarray) and training_texts is not None:
        return saved_logits(
            source,
            texts=training_texts,
            name="array",
            digest=behaviour_digest(source.astype(np.float32)),
            class_names=None,
            summary="logits in an array, rows in the order of the training file",
        )
    if callable(getattr(source, "logits", None)):
        teacher = callable_teacher(source.logits, name=name or str(getattr(source, "name", type(source).__name__)))
        return type(teacher)(teacher.function, teacher.name, names_of(source))
    if callable(source):
        return callable_teacher(source, name=name)
    raise InputError(
        f"a teacher is a function from texts to logits, a torch module, an object with logits(texts), or the name of "
        f"{KINDS}: received type={type(source).__name__!r}; wrap it in a function"
    )


def _is_torch(source: Any) -> bool:
    """Return whether ``source`` is a torch module; if torch was never imported, it cannot be one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have no signature
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _onnx(path: Path, classes: int) -> Teacher:
    from understudy.teachers.onnx import onnx_teacher

    return onnx_teacher(path, classes=classes)


def _litert(path: Path, classes: int) -> Teacher:
    from understudy.teachers.litert import litert_teacher

    return litert_teacher(path, classes=classes)


def _torch_program(path: Path) -> Teacher:
    from understudy.teachers.torch_program import torch_program_teacher

    return torch_program_teacher(path)
