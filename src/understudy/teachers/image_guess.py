"""How a model takes images, chosen without a job: as the user says, by a labelled sample, or by its answers alone.

A trained network that is given images as in its training spreads its answers over its classes as the images are spread.
Given pixels of another size it gives one answer to nearly everything, or is sure of few classes. So the ways count whose
mean answer has about the highest entropy, where the answers still differ; of these, those that are not far surer than the
others, and among those the most usual one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.teachers.closest import TRIED, closest_to_labels
from understudy.teachers.image_input import PixelRange, Shape, standardized
from understudy.teachers.image_model import (
    TELLS_APART,
    ImageModel,
    ImageModelTeacher,
    candidates,
    entropies,
    information_about_patterns,
)
from understudy.teachers.protocol import UInt8Array

Int64Array = npt.NDArray[np.int64]
FEWEST_IMAGES = 32
"""Below this many the answers to the images do not show how they are spread over the classes; test patterns decide."""
_NEAR = 0.1
"""Nats of entropy of the mean answer that make no difference."""
_ANSWERS_DIFFER = 0.03
"""Share of the most information in any way's answers, below which answers are all alike: that way is out."""
_FAR_SURER = 0.1
"""Share of the others' mean entropy, below which a way's pixels are larger than the network was trained with."""
_UNSURE = 0.1
"""Nats of mean entropy from which being far surer says something: good networks are sure of easy images."""
_AGREE = 0.9
"""Share of equal answers below which two ways that are near each other are worth a warning."""
_CLASSES_SEEN = 0.5
"""Share of the highest entropy that the mean answer can have, below which no way fits well."""
_REMEDY = "say it with load_teacher(..., pixel_range=...), or give labelled=(images, labels)"


def image_teacher_without_job(
    model: ImageModel, images: UInt8Array, *, said: PixelRange | None, labelled: tuple[UInt8Array, Int64Array] | None
) -> ImageModelTeacher:
    """Return the teacher around ``model`` for images uint8 ``[N, H, W, C]`` like ``images``, which may be none.

    Args:
        model: takes the images.
        images: those that it is asked about.
        said: the range that the user named.
        labelled: images uint8 ``[N, H, W, C]`` and for each the number of its column, int64 ``[N]``.

    Raises:
        InputError: the model takes images of another shape, or does not run.
    """
    sample = labelled[0] if labelled is not None else images
    if sample.shape[1:] != images.shape[1:]:
        raise InputError(
            f"a labelled sample has the shape of the images: received labelled={list(sample.shape[1:])} for "
            f"images={list(images.shape[1:])}; give images of one size"
        )
    height, width, channels = sample.shape[1:]
    shape: Shape = (height, width, channels)
    own: tuple[PixelRange, ...] = ()
    if len(sample) >= FEWEST_IMAGES and (model.input.pixel_range is None or labelled is not None):
        found_range = standardized(sample)
        own = (replace(found_range, name=found_range.name.replace("the training images", "the images given")),)
    found = list(candidates(model, shape, further=own, said=said))
    if len(found) == 1:
        return found[0]
    if labelled is not None:
        return _by_labels(found, *labelled)
    if len(images) < FEWEST_IMAGES:
        if len(images):
            _warn(
                f"a guess from test patterns, because {len(images)} images of the {FEWEST_IMAGES} needed show too little", model
            )
        return _by_patterns(found, shape)
    return _by_answers(found, images)


def _by_labels(found: Sequence[ImageModelTeacher], images: UInt8Array, labels: Int64Array) -> ImageModelTeacher:
    answers = [teacher.logits(images) for teacher in found]
    if labels.min() < 0 or labels.max() >= answers[0].shape[1]:
        raise InputError(
            f"labels of a sample are numbers of the teacher's columns: received labels from {labels.min()} to {labels.max()} "
            f"for columns={answers[0].shape[1]} of teacher={found[0].name!r}; give the labels that it was made for"
        )
    best, how = closest_to_labels(answers, labels, examples="images")
    return replace(found[best], how=how)


def _by_patterns(found: Sequence[ImageModelTeacher], shape: Shape) -> ImageModelTeacher:
    information = [information_about_patterns(teacher, shape) for teacher in found]
    enough = (t for t, gained in zip(found, information, strict=True) if gained >= TELLS_APART * max(information))
    return replace(next(enough, found[0]), how="assumed: the most usual way in which it tells test patterns apart")


def _by_answers(found: Sequence[ImageModelTeacher], images: UInt8Array) -> ImageModelTeacher:
    tried = images[np.linspace(0, len(images) - 1, min(TRIED, len(images))).astype(np.int64)]
    answers = [teacher.logits(tried) for teacher in found]
    spread = [entropies(logits) if np.isfinite(logits).all() else (-1.0, 0.0) for logits in answers]
    ways = range(len(found))
    # rounding can make it negative for answers that are all alike, as the mark of those that are not finite is
    information = [max(0.0, together - alone) for together, alone in spread]
    ways_left = [i for i in ways if information[i] >= _ANSWERS_DIFFER * max(information)]
    highest = max(spread[i][0] for i in ways_left)
    near = [i for i in ways_left if spread[i][0] >= highest - _NEAR]
    near = [i for i in near if information[i] >= TELLS_APART * max(information[i] for i in near)]
    least_sure = max(spread[i][1] for i in near)
    kept = [i for i in near if least_sure < _UNSURE or spread[i][1] >= _FAR_SURER * least_sure]
    chosen = found[kept[0]]
    own = answers[kept[0]].argmax(axis=1)
    others = [(float((answers[i].argmax(axis=1) == own).mean()), i) for i in near if i != kept[0]]
    most_other = min(others, default=(1.0, 0))
    if most_other[0] < _AGREE:
        other, taken = (way.preparation.describe() for way in (found[most_other[1]], chosen))
        _warn(
            f"a guess: {other} fits about as well, with {1 - most_other[0]:.0%} other answers, as {taken}",
            chosen.model,
        )
    elif highest < _CLASSES_SEEN * np.log(max(2, answers[0].shape[1])):
        _warn("a guess: under no way are the answers spread over many of its classes", chosen.model)
    return replace(chosen, how=f"assumed: under it the answers to {len(tried)} images are spread best over the classes")


def _warn(what: str, model: ImageModel) -> None:
    warnings.warn(f"how teacher={model.name!r} takes images is {what}; {_REMEDY}", stacklevel=2)
