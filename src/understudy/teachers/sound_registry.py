"""From what a user hands over as teacher to a teacher for sounds: of their samples, or of the log-mel pictures of students.

Which of the two a source takes, in which axes and range, is found out as for images: what is not declared is tried, and
labelled training sounds decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.projections.log_mel import LogMel, pictures
from understudy.teachers import protocol
from understudy.teachers.callable import CallableTeacher, function_of, own_teacher
from understudy.teachers.class_order import OrderedTeacher, in_class_order, names_of
from understudy.teachers.closest import closest_to_labels, tried_rows
from understudy.teachers.image_input import AnyArray, ImageInput
from understudy.teachers.image_model import (
    ImageModel,
    ImageModelTeacher,
    RunError,
    candidates,
    outputs,
)
from understudy.teachers.image_registry import image_model, is_own_code, saved_logits_of
from understudy.teachers.model_file import are_probabilities
from understudy.teachers.protocol import (
    BoolArray,
    Float32Array,
    Int16Array,
    Teacher,
    behaviour_digest,
    checked_logits,
)
from understudy.teachers.registry import resolve

_PROBES = 32
_FULL_SCALE = 32768.0
SampleRange = Literal["-1 to 1", "mean 0 and deviation 1 in each sound", "as 16-bit numbers"]
RANGES: tuple[SampleRange, ...] = ("-1 to 1", "mean 0 and deviation 1 in each sound", "as 16-bit numbers")
"""The most usual first: where nothing tells two of them apart, the first is taken."""

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SamplePreparation:
    """What is done to samples before a model sees them.

    Attributes:
        shape: of one sound as the model takes it: its length, and at most one axis of size one.
    """

    input: ImageInput
    shape: tuple[int, ...]
    sample_range: SampleRange

    def describe(self) -> str:
        """Return axes and range for people."""
        axes = ", ".join(map(str, self.shape))
        return f"input {self.input.describe()}, samples [N, {axes}], {self.sample_range}"

    def __call__(self, sounds: Int16Array, /) -> AnyArray:
        """Return the model's input for ``sounds`` ``[N, samples]``."""
        values = _around_middle(sounds, max(self.shape)).astype(np.float32)
        match self.sample_range:
            case "-1 to 1":
                values /= np.float32(_FULL_SCALE)
            case "mean 0 and deviation 1 in each sound":
                values -= values.mean(axis=1, keepdims=True)
                values /= np.maximum(values.std(axis=1, keepdims=True), 1)
        return self.input.cast(values.reshape(len(values), *self.shape))


def _around_middle(sounds: Int16Array, length: int) -> Int16Array:
    """Return ``sounds`` cut or padded with silence to ``length`` samples, around their middle."""
    more = length - sounds.shape[1]
    if more < 0:
        begin = -more // 2
        return sounds[:, begin : begin + length]
    return np.pad(sounds, ((0, 0), (more // 2, more - more // 2)))


@dataclass(frozen=True)
class SoundTeacher:
    """A teacher of samples, or one of pictures that is given the log-mel pictures of the samples.

    Attributes:
        source: answers samples int16 ``[N, samples]``, or pictures uint8 ``[N, frames, bands, 1]``.
        log_mel: makes the pictures; None for a source of samples.
        given: what the source is given, for ``describe``; empty where it says so itself.
        how: how that was found, for ``describe``.
    """

    source: Teacher[Any]
    log_mel: LogMel | None
    given: str
    how: str

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the source says them."""
        return self.source.class_names

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the source's file, None where it is not one file."""
        return getattr(self.source, "size_bytes", None)

    @property
    def digest(self) -> str:
        """Digest of the source and of the pictures."""
        return hashlib.sha256(f"{self.source.digest} {self.log_mel}".encode()).hexdigest()

    def describe(self) -> str:
        """Return the source's line, what it is given, and how that was found."""
        return ", ".join(part for part in (self.source.describe(), self.given, self.how) if part)

    def covers(self, sounds: Int16Array, /) -> BoolArray:
        """Return what the source covers."""
        return self.source.covers(self._asked(sounds))

    def logits(self, sounds: Int16Array, /) -> Float32Array:
        """Return the source's logits."""
        return self.source.logits(self._asked(sounds))

    def _asked(self, sounds: Int16Array) -> Any:
        return sounds if self.log_mel is None else pictures(self.log_mel, sounds)


def load_sound_teacher(
    source: Any,
    *,
    class_names: Sequence[str],
    sounds: Int16Array,
    labels: Int64Array,
    log_mel: LogMel,
    training_sounds: Callable[[], Int16Array],
) -> OrderedTeacher[Int16Array]:
    """Return the teacher for sounds that ``source`` is or names, its columns in the order of ``class_names``.

    Args:
        source: a path or name (see ``registry.KINDS``), a function from sounds to logits, a model object of a framework,
            an object with ``logits(sounds)``, or an array ``[rows, classes]`` that belongs to the training sounds.
        class_names: the classes of the data.
        sounds: training sounds int16 ``[N, samples]``.
        labels: int64 ``[N]``.
        log_mel: makes the pictures that students see.
        training_sounds: gives all sounds of the training folder in its order, for saved logits.

    Raises:
        InputError: no such file, unreadable, unsafe, of no known kind, for sounds of another length or other classes.
        SetupError: the packages that the kind needs are not installed.
    """
    found, name = resolve(source)
    saved: protocol.SoundTeacher | None = saved_logits_of(found, class_names=class_names, training_examples=training_sounds)
    if saved is not None:
        return in_class_order(saved, class_names)
    if is_own_code(found):
        complete = own_teacher(found)
        if complete is not None:
            return in_class_order(complete, class_names)
        ways = _ways_of_code(found, sounds, log_mel, name=name)
    else:
        ways = _ways_of_model(image_model(found, classes=len(class_names)), sounds, log_mel)
    return _closest(ways, sounds, labels, class_names)


def _closest(
    ways: Iterator[SoundTeacher], sounds: Int16Array, labels: Int64Array, class_names: Sequence[str]
) -> OrderedTeacher[Int16Array]:
    """Return the one of ``ways`` that runs and fits the ``labels`` best.

    Raises:
        InputError: none runs, or the columns are not those of the classes.
    """
    at = tried_rows(labels)
    found: list[tuple[SoundTeacher, OrderedTeacher[Int16Array]]] = []
    answers: list[Float32Array] = []
    failed: InputError | None = None
    for way in ways:
        try:
            ordered = in_class_order(way, class_names)
            logits = checked_logits(ordered, sounds[at], len(class_names))
        except InputError as error:
            failed = failed or error
            continue
        found.append((way, ordered))
        answers.append(logits)
    if not found:
        assert failed is not None
        raise failed
    best, how = closest_to_labels(answers, labels[at], examples="sounds")
    way, ordered = found[best]
    return replace(ordered, source=replace(way, how=how)) if how else ordered


def _ways_of_code(source: Any, sounds: Int16Array, log_mel: LogMel, *, name: str | None) -> Iterator[SoundTeacher]:
    """Yield the user's function as one of samples and as one of pictures."""
    function = function_of(source)
    assert function is not None
    own_name = name or getattr(source, "__qualname__", None) or type(source).__name__
    probes = sounds[:_PROBES]
    samples = f"given samples int16 [N, {sounds.shape[1]}]"
    yield SoundTeacher(CallableTeacher(function, own_name, names_of(source), probes), None, samples, "")
    seen = pictures(log_mel, probes)
    yield SoundTeacher(CallableTeacher(function, own_name, names_of(source), seen), log_mel, _given_pictures(log_mel), "")


def _ways_of_model(model: ImageModel, sounds: Int16Array, log_mel: LogMel) -> Iterator[SoundTeacher]:
    """Yield a teacher for each way to give ``model`` samples or pictures in which it runs, the most usual first.

    Raises:
        InputError: there is none.
    """
    runs, failed = False, None
    for shape in _sample_shapes(model.input, sounds.shape[1], within=log_mel.hop):
        for sample_range in RANGES:
            preparation = SamplePreparation(model.input, shape, sample_range)
            if np.dtype(model.input.dtype).kind in "iu" and model.input.quantization is None:
                preparation = replace(preparation, sample_range="as 16-bit numbers")
            try:
                values = outputs(model, preparation, sounds[:_PROBES])
            except RunError as error:
                failed = failed or error
                break  # the axes do not fit, whatever the range
            runs = True
            answers = behaviour_digest(values) if model.opaque else ""
            yield SoundTeacher(ImageModelTeacher(model, preparation, are_probabilities(values), "", answers), None, "", "")
            if preparation.sample_range != sample_range:
                break
    try:
        for way in candidates(model, log_mel.shape):
            runs = True
            yield SoundTeacher(way, log_mel, _given_pictures(log_mel), "")
    except RunError as error:
        failed = failed or error
    except InputError:  # another shape is declared
        pass
    if not runs:
        raise failed or InputError(
            "a teacher for sounds takes their samples, or log-mel pictures of them: received "
            f"input={model.input.describe()} of teacher={model.name!r} for sounds of {sounds.shape[1]} samples and "
            f"pictures={list(log_mel.shape)}; set data.seconds and data.sample_rate to the teacher's, or put its own front end "
            "into a Python function and give file.py:name"
        )


def _sample_shapes(given: ImageInput, samples: int, *, within: int) -> list[tuple[int, ...]]:
    """Return the shapes in which a tensor takes sounds of about ``samples``: a length that differs by less than ``within``.

    Sounds are read in whole half frames, so that a teacher of exactly one second has a length of its own.
    """
    shapes = [(samples,), (1, samples), (samples, 1)]
    if given.sizes is None:
        return shapes
    declared = max((size for size in given.sizes if size is not None), default=samples)
    if abs(declared - samples) < within:
        shapes += [(declared,), (1, declared), (declared, 1)]
    return [shape for shape in dict.fromkeys(shapes) if given.takes(shape)]


def _given_pictures(log_mel: LogMel) -> str:
    frames, bands, channels = log_mel.shape
    return f"given log-mel pictures uint8 [N, {frames}, {bands}, {channels}]"
