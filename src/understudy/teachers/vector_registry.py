"""From what a user hands over as teacher to a teacher for vectors and windows; see ``registry.py`` for texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.teachers.callable import CallableTeacher, function_of, own_teacher
from understudy.teachers.class_order import OrderedTeacher, in_class_order, names_of
from understudy.teachers.closest import closest_to_labels, tried_rows
from understudy.teachers.image_input import AnyArray
from understudy.teachers.image_model import ImageModel, outputs
from understudy.teachers.image_registry import image_model, is_own_code, saved_logits_of
from understudy.teachers.model_file import are_probabilities, log_probabilities
from understudy.teachers.protocol import BoolArray, Float32Array, VectorTeacher, behaviour_digest
from understudy.teachers.registry import resolve

Int64Array = npt.NDArray[np.int64]
_PROBES = 32


@dataclass(frozen=True)
class VectorModelTeacher:
    """A model of any framework that takes a batch of numbers as the data have them, whose axes alone may differ.

    Attributes:
        shape: of one example as the model takes it.
        probabilities: the output holds probabilities, which become ``log(max(p, 1e-9))``.
        answers: digest of the answers to probes; empty where the model's digest says all.
        turned: the model takes windows with their channels first, as convolutions over time do.
        in_steps: the numbers are the steps of the model's quantized input already.
        how: how that was found, for ``describe``; empty where it is no question.
    """

    model: ImageModel
    shape: tuple[int, ...]
    probabilities: bool
    answers: str
    turned: bool = False
    in_steps: bool = False
    how: str = ""

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the model says them."""
        return self.model.class_names

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the model's file or weights."""
        return self.model.size_bytes

    @property
    def digest(self) -> str:
        """Digest of the model and of the way to give it numbers."""
        how = f"{self.model.digest} {self.shape} {self.probabilities} {self.answers}"
        how += f"{' turned' if self.turned else ''}{' in steps' if self.in_steps else ''}"
        return hashlib.sha256(how.encode()).hexdigest()

    def describe(self) -> str:
        """Return one line: the model, what it is given, what its output was found to be."""
        output = "probabilities, used as logarithms" if self.probabilities else "logits"
        numbers = "numbers as the data have them" + (", channels before steps" if self.turned else "")
        if self.how:
            taken = "which are the steps of its input already" if self.in_steps else "quantized with its scale"
            numbers = f"{numbers}, {taken} ({self.how})"
        return f"{self.model.summary}, input {self.model.input.describe()}, {numbers}, output {output}"

    def covers(self, vectors: Float32Array, /) -> BoolArray:
        """Return all True."""
        return np.ones(len(vectors), np.bool_)

    def logits(self, vectors: Float32Array, /) -> Float32Array:
        """Return logits, float32 ``[vectors, columns]``."""
        values = outputs(self.model, self._prepared, vectors)
        if values.shape[1] == 1:  # one column says how likely the second of two classes is
            values = np.concatenate([1 - values if self.probabilities else np.zeros_like(values), values], axis=1)
        return log_probabilities(values) if self.probabilities else values

    def _prepared(self, vectors: Float32Array) -> Any:
        return _given(self.model, vectors, self.shape, turned=self.turned, in_steps=self.in_steps)


def load_vector_teacher(
    source: Any,
    *,
    class_names: Sequence[str],
    vectors: Float32Array,
    labels: Int64Array | None = None,
    numbered: bool,
    training_vectors: Callable[[], Float32Array],
) -> OrderedTeacher[Float32Array]:
    """Return the teacher for numbers that ``source`` is or names, its columns in the order of ``class_names``.

    Args:
        source: a path or name (see ``registry.KINDS``), a function from vectors to logits, a model object of a framework,
            an object with ``logits(vectors)``, or an array ``[rows, classes]`` that belongs to the training vectors.
        class_names: the classes of the data.
        vectors: training vectors float32 ``[N, d]`` or ``[N, T, C]``, in their own units.
        labels: int64 ``[N]``; they decide whether whole numbers are the steps of a quantized input already.
        numbered: the classes are whole numbers, so that columns without names follow their values.
        training_vectors: gives all vectors of the training file in its order, for saved logits.

    Raises:
        InputError: no such file, unreadable, unsafe, of no known kind, for numbers of another shape or other classes.
        SetupError: the packages that the kind needs are not installed.
    """
    found, name = resolve(source)
    teacher: VectorTeacher | None = saved_logits_of(found, class_names=class_names, training_examples=training_vectors)
    if teacher is None and is_own_code(found):
        teacher = _own_code(found, vectors, name=name)
    if teacher is None:
        made = _model_teacher(image_model(found, classes=len(class_names)), vectors)
        if labels is not None and made.model.input.quantization is not None and made.model.input.holds(vectors):
            return _by_labels(made, vectors, labels, class_names=class_names, numbered=numbered)
        teacher = made
    return in_class_order(teacher, class_names, numbered=numbered)


def _by_labels(
    quantizing: VectorModelTeacher, vectors: Float32Array, labels: Int64Array, *, class_names: Sequence[str], numbered: bool
) -> OrderedTeacher[Float32Array]:
    """Return ``quantizing``, or the same with whole numbers as the steps of its input, whichever fits ``labels`` better."""
    at = tried_rows(labels)
    ways = [replace(quantizing, in_steps=in_steps) for in_steps in (True, False)]
    answers = [in_class_order(way, class_names, numbered=numbered).logits(vectors[at]) for way in ways]
    best, how = closest_to_labels(answers, labels[at], examples="examples")
    return in_class_order(replace(ways[best], how=how), class_names, numbered=numbered)


def _own_code(source: Any, vectors: Float32Array, *, name: str | None) -> VectorTeacher:
    complete = own_teacher(source)
    if complete is not None:
        return complete
    function = function_of(source)
    assert function is not None
    own_name = name or getattr(source, "__qualname__", None) or type(source).__name__
    return CallableTeacher(function, own_name, names_of(source), probes=vectors[:_PROBES])


def _model_teacher(model: ImageModel, vectors: Float32Array) -> VectorModelTeacher:
    """Return the teacher around ``model`` for numbers of the shape of ``vectors``.

    Raises:
        InputError: the model takes another shape, or does not run.
    """
    own = vectors.shape[1:]
    # a channel of its own, as for images, before or behind; or one axis for all
    shapes = dict.fromkeys((own, (*own, 1), (1, *own), (int(np.prod(own)),)))
    shape = next((shape for shape in shapes if model.input.takes(shape)), None)
    turned = own[::-1] if len(own) == 2 and own[0] != own[1] else None
    if shape is None and turned is not None and model.input.takes(turned):
        return _asked(model, vectors, turned, turned=True)
    if shape is None:
        raise InputError(
            f"a teacher for vectors takes them as the data has them: received input={model.input.describe()} of "
            f"teacher={model.name!r} for numbers={list(own)}; put the reshaping into a Python function and give file.py:name"
        )
    try:
        return _asked(model, vectors, shape, turned=False)
    except InputError:
        if turned is not None and model.opaque:  # the axes of a module are found by running it
            with suppress(InputError):
                return _asked(model, vectors, turned, turned=True)
        raise


def _asked(model: ImageModel, vectors: Float32Array, shape: tuple[int, ...], *, turned: bool) -> VectorModelTeacher:
    """Return the teacher that gives ``model`` numbers so, which has answered some of ``vectors``."""
    values = outputs(model, lambda part: _given(model, part, shape, turned=turned), vectors[:_PROBES])
    digest = behaviour_digest(values) if model.opaque else ""
    return VectorModelTeacher(model, shape, are_probabilities(values), digest, turned=turned)


def _given(
    model: ImageModel, vectors: Float32Array, shape: tuple[int, ...], *, turned: bool, in_steps: bool = False
) -> AnyArray:
    found = vectors.swapaxes(1, 2) if turned else vectors.reshape(len(vectors), *shape)
    return model.input.cast(found, in_steps=in_steps)
