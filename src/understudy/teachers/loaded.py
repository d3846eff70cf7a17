"""A teacher outside of any job: ``understudy.load_teacher(source).predict(examples)``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError
from understudy.projections.text import need_list
from understudy.teachers.class_order import in_class_order
from understudy.teachers.image_input import Shape
from understudy.teachers.image_model import ImageModel, NotForImagesError, unlabelled_teacher, values_as_they_are
from understudy.teachers.image_registry import MODEL_FILES, image_model, is_own_code, own_code
from understudy.teachers.protocol import Float32Array, ImageTeacher, TextTeacher, as_array
from understudy.teachers.registry import resolve, text_teacher


class LoadedTeacher:
    """Answers texts, images or other numbers with logits, one column for each class; made by ``load_teacher``."""

    def __init__(self, source: Any, class_names: Sequence[str] | None) -> None:
        self._class_names = None if class_names is None else tuple(class_names)
        self._source, self._python_name = resolve(source)
        self._model = _model(self._source, classes=None if class_names is None else len(class_names))
        self._texts: TextTeacher | None = None
        self._images: dict[Shape, ImageTeacher] = {}

    def predict(self, examples: Any) -> Float32Array:
        """Return logits, float32 ``[examples, classes]``.

        Args:
            examples: texts, or images uint8 ``[N, H, W, C]`` or ``[N, H, W]`` with pixels from 0 to 255, which are given the
                layout and range that the model wants. Arrays of other numbers (sounds, vectors, tensors that were prepared)
                go to a model or function as they are.

        Raises:
            InputError: examples that the teacher does not take, or answers that are not finite numbers.
        """
        need_list(examples)
        if not hasattr(examples, "__array__"):
            return self._answer(self._text_teacher(), list(examples))
        array = np.asarray(examples)
        if array.dtype != np.uint8:
            if self._model is None and is_own_code(self._source):  # which takes arrays as it takes texts: as they are
                return self._answer(self._text_teacher(), array)
            return self._checked(values_as_they_are(self._model or image_model(self._source, classes=None), array))
        if array.ndim not in (3, 4):
            raise InputError(f"images are uint8 [N, H, W, C] or [N, H, W]: received shape={array.shape}; reshape them")
        images = array if array.ndim == 4 else array[..., None]
        return self._answer(self._image_teacher(images.shape[1:]), images)

    def describe(self, shape: Shape | None = None) -> str:
        """Return one line: what was loaded, its layout and what was assumed; for images of ``shape``, for texts without."""
        return (self._text_teacher() if shape is None else self._image_teacher(shape)).describe()

    def _text_teacher(self) -> TextTeacher:
        if self._texts is None:
            teacher = text_teacher(self._source, class_names=self._class_names or (), name=self._python_name)
            self._texts = teacher if self._class_names is None else in_class_order(teacher, self._class_names)
        return self._texts

    def _image_teacher(self, shape: Shape) -> ImageTeacher:
        if shape not in self._images:
            teacher = own_code(self._source, shape, name=self._python_name)
            if teacher is None:
                model = self._model or image_model(self._source, classes=None)
                teacher = unlabelled_teacher(model, shape)
            self._images[shape] = teacher if self._class_names is None else in_class_order(teacher, self._class_names)
        return self._images[shape]

    def _answer(self, teacher: Any, examples: Any) -> Float32Array:
        return self._checked(as_array(teacher.logits(examples), name=teacher.name))

    def _checked(self, logits: Float32Array) -> Float32Array:
        if not np.isfinite(logits).all():
            raise InputError(
                f"a teacher's logits are finite numbers: received not_finite={int((~np.isfinite(logits)).sum())} of "
                f"{logits.size}; repair the teacher, and where it returns log(p) use log(max(p, 1e-9))"
            )
        return logits


def load_teacher(source: Any, *, class_names: Sequence[str] | None = None) -> LoadedTeacher:
    """Return the teacher that ``source`` is or names, ready for texts or images.

    Args:
        source: a model file, the name of Python code as ``module:name`` or ``file.py:name``, which is **run**, a function from
            examples to logits, a torch module, or a Keras model.
        class_names: puts the columns in this order; without it they are as they come.

    Raises:
        InputError: no such file, unreadable, unsafe or of no known kind.
        SetupError: the packages that the kind needs are not installed.
    """
    return LoadedTeacher(source, class_names)


def _model(source: Any, *, classes: int | None) -> ImageModel | None:
    """Return the model for images in a file, None for anything else: objects do not say what they take."""
    if not isinstance(source, Path) or not (source.is_dir() or source.suffix.lower() in MODEL_FILES):
        return None
    try:
        return image_model(source, classes=classes)
    except NotForImagesError:
        return None
