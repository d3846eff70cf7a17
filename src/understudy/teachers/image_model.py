"""Models that take images, from any framework, as teachers: how each takes images is found out and reported.

What is not declared is tried: every order of axes that fits, every usual range of pixel values. With labelled images the
choice is by their labels (``closest.py``); ``image_guess.py`` has the choice without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.teachers.chance import in_another_order
from understudy.teachers.class_order import OrderedTeacher, in_class_order, names_beside
from understudy.teachers.closest import MOST_TRIED, closest_to_labels, log_softmax, near_ties, tried_rows
from understudy.teachers.image_input import (
    RARER,
    USUAL,
    AnyArray,
    ImageInput,
    PixelRange,
    Preparation,
    Prepares,
    Shape,
    standardized,
)
from understudy.teachers.model_file import are_probabilities, file_summary, log_probabilities
from understudy.teachers.protocol import BoolArray, Float32Array, UInt8Array, behaviour_digest

BATCH = 64
TELLS_APART = 0.2
"""Share of the best way's information about the patterns that is enough; ``tests/teachers/test_real_models.py`` has how far
right and wrong ones are from it."""
_PATTERNS = 64

Int64Array = npt.NDArray[np.int64]


class NotForImagesError(InputError):
    """A model takes or gives something else than images and classes; it may be one for texts."""


class RunError(InputError):
    """A model that was loaded did not run on the tensor that it was given."""


@dataclass(frozen=True)
class ImageModel:
    """A model of any framework that takes a batch of images.

    Attributes:
        run: one run, the input tensor to float32 ``[batch, columns]``; raises ``RunError``.
        input: the tensor that it takes.
        name: short name for messages and reports.
        digest: hexadecimal sha256 of all that fixes its answers.
        class_names: names of the columns, if it says them.
        summary: the model for people.
        size_bytes: of its file or weights.
        opaque: the digest does not see the code that computes, so that answers are digested too.
        module: the torch module that runs, None for models of other kinds.
    """

    run: Callable[[AnyArray], Float32Array]
    input: ImageInput
    name: str
    digest: str
    class_names: tuple[str, ...] | None
    summary: str
    size_bytes: int | None = None
    opaque: bool = False
    module: Any = None


def model_file_image_model(
    path: Path, content: bytes, *, run: Callable[[AnyArray], Float32Array], image_input: ImageInput, format_name: str
) -> ImageModel:
    """Return the model in the file ``path``, which holds ``content``; its columns are named by ``labels.txt`` beside it."""
    return ImageModel(
        run=run,
        input=image_input,
        name=path.name,
        digest=hashlib.sha256(content).hexdigest(),
        class_names=names_beside(path),
        summary=file_summary(path, content, format_name=format_name),
        size_bytes=len(content),
    )


@dataclass(frozen=True)
class ImageModelTeacher:
    """An ``ImageModel`` with one way to prepare images for it.

    Attributes:
        probabilities: the output holds probabilities, which become ``log(max(p, 1e-9))``.
        how: how preparation was found, for ``describe``.
        answers: digest of the answers to test patterns; empty where the model's digest says all.
    """

    model: ImageModel
    preparation: Prepares
    probabilities: bool
    how: str
    answers: str = ""

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
        """Digest of the model and of the way to prepare images."""
        return hashlib.sha256(
            f"{self.model.digest} {self.preparation} {self.probabilities} {self.answers}".encode()
        ).hexdigest()

    def describe(self) -> str:
        """Return one line: the model, what it is given and how that was found, what its output was found to be."""
        output = "probabilities, used as logarithms" if self.probabilities else "logits"
        how = f" ({self.how})" if self.how else ""
        return f"{self.model.summary}, {self.preparation.describe()}{how}, output {output}"

    def covers(self, images: UInt8Array, /) -> BoolArray:
        """Return all True."""
        return np.ones(len(images), np.bool_)

    def logits(self, images: UInt8Array, /) -> Float32Array:
        """Return logits, float32 ``[images, columns]``."""
        values = outputs(self.model, self.preparation, images)
        if values.shape[1] == 1:  # one column says how likely the second of two classes is
            values = np.concatenate([1 - values if self.probabilities else np.zeros_like(values), values], axis=1)
        # NaN passes through maximum, so that the check of the answers finds it.
        return log_probabilities(values) if self.probabilities else values


def outputs(model: ImageModel, prepare: Callable[[Any], AnyArray], images: AnyArray) -> Float32Array:
    """Return what ``model`` gives for ``images``, float32 ``[images, columns]``; a fixed batch is filled up with black ones."""
    if not len(images):  # how many columns there are, one black image tells
        return outputs(model, prepare, np.zeros((1, *images.shape[1:]), images.dtype))[:0]
    size = model.input.batch or BATCH
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        missing = size - len(part) if model.input.batch else 0
        filled = np.concatenate([part, np.zeros_like(images[:1]).repeat(missing, axis=0)]) if missing else part
        values = np.asarray(model.run(prepare(filled)), np.float32)
        if values.ndim < 2 or len(values) != len(filled):
            raise RunError(
                f"a teacher gives one row of logits for each image: received shape={values.shape} for images={len(filled)} "
                f"from teacher={model.name!r}; use a model that ends in one number for each class"
            )
        parts.append(values.reshape(len(filled), -1)[: len(part)])
    return np.concatenate(parts)


def values_as_they_are(model: ImageModel, values: AnyArray) -> Float32Array:
    """Return logits of ``model`` for ``values``, which are what the model takes.

    Whole numbers are the elements themselves, also of a quantized input, whose steps they count. Real numbers are brought
    to those steps. A last axis of one place may be missing.

    Raises:
        InputError: another shape than the model's, or whole numbers that its elements do not hold.
    """
    given = values
    if given.ndim >= 2 and not model.input.takes(given.shape[1:]) and model.input.takes((*given.shape[1:], 1)):
        given = given[..., None]
    if given.ndim < 2 or not model.input.takes(given.shape[1:]):
        raise InputError(
            f"values that are no bytes have the model's own shape: received shape={values.shape} for "
            f"input={model.input.describe()} of teacher={model.name!r}; reshape them, or give uint8 images [N, H, W, C]"
        )
    steps = given.dtype.kind in "iu"
    if steps and not model.input.holds(given):
        raise InputError(
            f"whole numbers are the elements of a model's input as they are: received values from {given.min()} to "
            f"{given.max()} for input={model.input.describe()} of teacher={model.name!r}; give real numbers as float32, which "
            "are quantized with the model's own scale"
        )
    found = outputs(model, lambda part: model.input.cast(part, in_steps=steps), given)
    return log_probabilities(found) if are_probabilities(found) else found


def information_about_patterns(teacher: ImageModelTeacher, shape: Shape) -> float:
    """Return the nats of information that an answer of ``teacher`` has about which test pattern it was asked; -1 if not finite.

    That is the entropy of the mean answer less the mean entropy of the answers.
    """
    together, alone = entropies(teacher.logits(test_patterns(shape)))
    return together - alone if np.isfinite(together - alone) else -1.0


def entropies(logits: Float32Array) -> tuple[float, float]:
    """Return the entropy of the mean answer and the mean entropy of the answers, in nats, of logits ``[examples, classes]``."""
    answers = np.exp(log_softmax(logits))
    return _entropy(answers.mean(axis=0)), float(np.mean([_entropy(row) for row in answers]))


def labelled_teacher(
    model: ImageModel,
    *,
    class_names: Sequence[str],
    images: UInt8Array,
    labels: Int64Array,
    numbered: bool,
) -> OrderedTeacher[UInt8Array]:
    """Return the teacher around ``model`` whose answers fit ``labels`` best, columns in the order of ``class_names``.

    Raises:
        InputError: the model takes images of another shape, does not run, or was made for other classes.
    """
    height, width, channels = images.shape[1:]
    at = tried_rows(labels)
    found: list[OrderedTeacher[UInt8Array]] = []
    answers: list[Float32Array] = []
    for candidate in candidates(model, (height, width, channels), further=(standardized(images), *RARER)):
        ordered = in_class_order(candidate, class_names, numbered=numbered)
        logits = ordered.logits(images[at])
        if np.isfinite(logits).all() or not found:
            found.append(ordered)
            answers.append(logits)
    best, how = closest_to_labels(answers, labels[at], examples="images")
    if how and (other := in_another_order(answers, labels[at], best)) is not None:
        best, how = other, f"found on {len(at)} labelled images, with its columns in another order"
    elif (near := near_ties(answers, labels[at])) and len(more := tried_rows(labels, most=MOST_TRIED)) > len(at):
        found = [found[way] for way in near]
        best, how = closest_to_labels([way.logits(images[more]) for way in found], labels[more], examples="images")
    chosen = found[best]
    assert isinstance(chosen.source, ImageModelTeacher)
    return replace(chosen, source=replace(chosen.source, how=how)) if how else chosen


def candidates(
    model: ImageModel, shape: Shape, *, further: Sequence[PixelRange] = (), said: PixelRange | None = None
) -> Iterator[ImageModelTeacher]:
    """Yield a teacher for each way to give ``model`` images of ``shape`` in which it runs, the most usual first.

    Args:
        model: takes the images.
        shape: height, width and channels of the images.
        further: ranges beside the usual ones.
        said: the only range, which the user named.
    """
    declared, named = model.input.declared_range(), model.input.pixel_range
    if declared is None and named is not None and named.fits(shape[2]):
        # what is noted beside the weights is believed, unless labels clearly say otherwise
        ranges = list(dict.fromkeys((named, *USUAL, *further))) if further else [named]
    else:
        ranges = [*USUAL, *further] if declared is None else [declared]
    ranges = [found for found in ranges if found.fits(shape[2])] if said is None else [said]
    layouts = model.input.layouts(shape, name=model.name)
    how = "as it declares" if declared is not None or len(ranges) == 1 else "the only way that fits"
    how = "as you say" if said is not None else how
    patterns = test_patterns(shape)
    failed: list[RunError] = []
    runs = False
    for layout in layouts:
        for pixel_range in ranges:
            preparation = Preparation(model.input, layout, pixel_range)
            try:
                values = outputs(model, preparation, patterns)
            except RunError as error:
                failed.append(error)
                break  # the axes do not fit, whatever the range
            runs = True
            answers = behaviour_digest(values) if model.opaque else ""
            yield ImageModelTeacher(model, preparation, are_probabilities(values), how, answers)
    if failed and not runs:
        raise failed[0] if len(layouts) == 1 else _runs_in_no_layout(failed[0], layouts[0], shape, name=model.name)


def _runs_in_no_layout(failed: RunError, layout: str, shape: Shape, *, name: str) -> RunError:
    """Return the error of a model that failed in every layout; ``failed`` is what it said in the most usual one."""
    cause: BaseException = failed
    while cause.__cause__ is not None:
        cause = cause.__cause__
    said = " ".join(str(cause).split()).rstrip(".")[:300]
    return RunError(
        f"a teacher for images takes them as the data has them: received teacher={name!r}, which fails in every order of axes "
        f"for images={list(shape)} (height, width, channels), as {layout} with {type(cause).__name__}: {said}; give the images "
        "the teacher's size and channels, or put the change into a Python function and give file.py:name"
    )


def _entropy(probabilities: npt.NDArray[Any]) -> float:
    return float(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum())


@cache
def test_patterns(shape: Shape) -> UInt8Array:
    """Return images of ``shape`` that belong to no data set: sums of waves, half of them as bright strokes on black.

    They tell probabilities from logits, and make the digest of a model that does not show its weights.
    """
    height, width, channels = shape
    rng = np.random.default_rng(0)
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]

    def waves() -> npt.NDArray[np.float64]:
        total = np.zeros((height, width))
        for turns_down, turns_right, phase in rng.uniform((-3, -3, 0), (3, 3, 2 * np.pi), (4, 3)):
            total += np.cos(2 * np.pi * (turns_down * down + turns_right * right) + phase)
        return total

    patterns = np.zeros((_PATTERNS, *shape), np.uint8)
    for number in range(_PATTERNS):
        shared = waves()
        image = np.stack([0.7 * shared + 0.3 * waves() for _ in range(channels)], axis=-1)
        if number % 2:
            inside = np.exp(-((down - 0.5) ** 2 + (right - 0.5) ** 2) / 0.12)
            image = np.exp(-((image / 0.35) ** 2)) * inside[..., None]
        else:
            low, high = np.sort(rng.uniform(0, 1, 2))
            image = low + max(0.3, high - low) * (image - image.min()) / max(np.ptp(image), 1e-9)
        patterns[number] = np.rint(255 * np.clip(image, 0, 1))
    patterns.flags.writeable = False
    return patterns
