"""A teacher outside of any job: ``understudy.load_teacher(source).predict(examples)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError
from understudy.projections.text import KINDS_OF_TEXTS, need_list
from understudy.teachers.class_order import in_class_order
from understudy.teachers.image_guess import FEWEST_IMAGES, Int64Array, image_teacher_without_job
from understudy.teachers.image_input import AnyArray, Shape, range_as_said
from understudy.teachers.image_model import ImageModel, NotForImagesError, values_as_they_are
from understudy.teachers.image_registry import MODEL_FILES, image_model, is_own_code, own_code
from understudy.teachers.protocol import Float32Array, ImageTeacher, TextTeacher, UInt8Array, as_array
from understudy.teachers.registry import resolve, text_teacher


class LoadedTeacher:
    """Answers texts, images or other numbers with logits, one column for each class; made by ``load_teacher``."""

    def __init__(
        self,
        source: Any,
        class_names: Sequence[str] | None,
        *,
        pixel_range: Any = None,
        labelled: tuple[Any, Sequence[Any]] | None = None,
    ) -> None:
        self._class_names = None if class_names is None else tuple(class_names)
        self._source, self._python_name = resolve(source)
        self._model = _model(self._source, classes=None if class_names is None else len(class_names))
        self._texts: TextTeacher | None = None
        self._images: dict[Shape, ImageTeacher] = {}
        self._guessed_from_few: set[Shape] = set()
        self._pixel_range = pixel_range
        self._labelled = None if labelled is None else _sample(labelled)
        self._last: Callable[[], str] | None = None

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
        if not hasattr(examples, "__array__") or np.asarray(examples).dtype.kind in KINDS_OF_TEXTS:
            examples = list(examples)
            _need_texts(examples)
            teacher = self._text_teacher()
            self._last = teacher.describe
            return self._answer(teacher, examples)
        array = np.asarray(examples)
        if array.dtype != np.uint8:
            return self._answer_as_given(array)
        if array.ndim not in (3, 4):
            raise InputError(f"images are uint8 [N, H, W, C] or [N, H, W]: received shape={array.shape}; reshape them")
        images = array if array.ndim == 4 else array[..., None]
        found = self._image_teacher(images.shape[1:], images)
        answers = self._answer(found, images)
        self._last = found.describe
        return answers

    def describe(self, shape: Sequence[int] | None = None) -> str:
        """Return one line: what was loaded, its layout and what was assumed; for images of ``shape``, or as last asked.

        Raises:
            InputError: a ``shape`` that is not ``(H, W, C)`` or ``(H, W)``, or one that the teacher does not take.
        """
        if shape is not None:
            if len(shape) not in (2, 3):
                raise InputError(f"images are (H, W, C) or (H, W): received shape={tuple(shape)}; give these")
            height, width, channels = (*shape, 1)[:3]
            return self._image_teacher((height, width, channels), np.zeros((0, height, width, channels), np.uint8)).describe()
        if self._last is not None:
            return self._last()
        try:
            return self._text_teacher().describe()
        except InputError:
            if self._model is None:
                raise
            return f"{self._model.summary}, input {self._model.input.describe()}, range of pixels found with the first images"

    def _text_teacher(self) -> TextTeacher:
        if self._texts is None:
            teacher = text_teacher(self._source, class_names=self._class_names or (), name=self._python_name)
            self._texts = teacher if self._class_names is None else in_class_order(teacher, self._class_names)
        return self._texts

    def _image_teacher(self, shape: Shape, images: UInt8Array) -> ImageTeacher:
        """Return the teacher for images of ``shape``; one that was guessed from few gives way when ``images`` are enough."""
        few = len(images) < FEWEST_IMAGES and self._labelled is None
        if shape not in self._images or (shape in self._guessed_from_few and not few):
            teacher = own_code(self._source, shape, name=self._python_name)
            if teacher is not None and (self._pixel_range is not None or self._labelled is not None):
                raise InputError(
                    f"pixel_range and labelled are for models that do not prepare images themselves: received "
                    f"teacher={teacher.name!r}, which takes uint8 images as they are; leave them out"
                )
            if teacher is None:
                said = None if self._pixel_range is None else range_as_said(self._pixel_range, shape[2])
                model = self._model or image_model(self._source, classes=None)
                teacher = image_teacher_without_job(model, images, said=said, labelled=self._labelled)
            self._images[shape] = teacher if self._class_names is None else in_class_order(teacher, self._class_names)
            (self._guessed_from_few.add if few else self._guessed_from_few.discard)(shape)
        return self._images[shape]

    def _answer(self, teacher: Any, examples: Any) -> Float32Array:
        return self._checked(as_array(teacher.logits(examples), name=teacher.name))

    def _answer_as_given(self, array: AnyArray) -> Float32Array:
        """Return logits for numbers that are no pixels of a byte; code that fails on them is told what they are."""
        try:
            if self._model is None and is_own_code(self._source):  # which takes arrays as it takes texts: as they are
                return self._answer(self._text_teacher(), array)
            model = self._model or image_model(self._source, classes=None)
            logits = self._checked(values_as_they_are(model, array))
        except InputError as error:
            _, code, reason = str(error).partition("whose code ")
            if not code:
                raise
            raise InputError(
                "images are uint8 [N, H, W, C] with pixels from 0 to 255, other arrays go to the teacher's code as they are: "
                f"received dtype={array.dtype}, shape={array.shape}, with which it {reason.rpartition(';')[0]}; give uint8, or "
                "what the code takes"
            ) from error
        self._last = lambda: f"{model.summary}, input {model.input.describe()}, numbers as they are given"
        return logits

    def _checked(self, logits: Float32Array) -> Float32Array:
        if not np.isfinite(logits).all():
            raise InputError(
                f"a teacher's logits are finite numbers: received not_finite={int((~np.isfinite(logits)).sum())} of "
                f"{logits.size}; repair the teacher, and where it returns log(p) use log(max(p, 1e-9))"
            )
        return logits


def load_teacher(
    source: Any,
    *,
    class_names: Sequence[str] | None = None,
    pixel_range: Any = None,
    labelled: tuple[Any, Sequence[Any]] | None = None,
) -> LoadedTeacher:
    """Return the teacher that ``source`` is or names, ready for texts or images.

    Args:
        source: a model file, the name of Python code as ``module:name`` or ``file.py:name``, which is **run**, a function from
            examples to logits, a torch module, or a Keras model.
        class_names: puts the columns in this order; without it they are as they come.
        pixel_range: how a model takes pixels: ``"0 to 1"``, ``"-1 to 1"``, ``"0 to 255"``, ``"ImageNet's mean and deviation"``,
            ``"0 to 255 less ImageNet's mean, blue first"``, or (mean, deviation) of pixels from 0 to 1, each one number or
            one for each channel, as ``(0.1307, 0.3081)``. Without it and without ``labelled``, the range is guessed from the
            answers to the images that are given first, and a warning says when two ranges fit about as well.
        labelled: some images uint8 ``[N, H, W, C]`` or ``[N, H, W]`` and for each the number of its column in the model
            ``[N]``; the range under which the model is right about them is taken, as a job does with its data.

    Raises:
        InputError: no such file, unreadable, unsafe or of no known kind.
        SetupError: the packages that the kind needs are not installed.
    """
    return LoadedTeacher(source, class_names, pixel_range=pixel_range, labelled=labelled)


def _need_texts(examples: Any) -> None:
    """Raise ``InputError`` where a list holds something else than texts."""
    for each in examples:
        if not isinstance(each, str | bytes):
            raise InputError(
                f"a teacher is asked about a list of texts, or an array: received a list with type={type(each).__name__!r}; "
                "make one array of images or numbers, as numpy.asarray(examples, numpy.uint8)"
            )


def _sample(labelled: tuple[Any, Sequence[Any]]) -> tuple[UInt8Array, Int64Array]:
    images, labels = np.asarray(labelled[0]), np.asarray(labelled[1])
    images = images[..., None] if images.ndim == 3 else images
    right = images.dtype == np.uint8 and images.ndim == 4 and labels.dtype.kind in "iu" and len(images) > 0
    if not right or labels.shape != images.shape[:1]:
        raise InputError(
            f"a labelled sample is images uint8 [N, H, W, C] and whole numbers [N]: received images={images.dtype}"
            f"{list(images.shape)}, labels={labels.dtype}{list(labels.shape)}; give a column's number for each image"
        )
    return images, labels.astype(np.int64)


def _model(source: Any, *, classes: int | None) -> ImageModel | None:
    """Return the model for images in a file, None for anything else: objects do not say what they take."""
    if not isinstance(source, Path) or not (source.is_dir() or source.suffix.lower() in MODEL_FILES):
        return None
    try:
        return image_model(source, classes=classes)
    except NotForImagesError:
        return None
