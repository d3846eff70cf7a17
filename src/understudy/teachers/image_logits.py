"""Saved logits for images and vectors: a row is found again by the bytes of its example."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from understudy.teachers.protocol import BoolArray, ExampleArray, Float32Array
from understudy.teachers.saved_logits import SavedLogits


@dataclass(frozen=True)
class ImageLogits:
    """Logits by image. Images without a row are not covered, and asking for them is an error."""

    saved: SavedLogits

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.saved.name

    @property
    def digest(self) -> str:
        """Digest of the file."""
        return self.saved.digest

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if the file says them."""
        return self.saved.class_names

    def describe(self) -> str:
        """Return one line about the file."""
        return self.saved.describe()

    def covers(self, images: ExampleArray, /) -> BoolArray:
        """Return for each image whether the file has a row for it."""
        return self.saved.covers(_keys(images))

    def logits(self, images: ExampleArray, /) -> Float32Array:
        """Return the saved rows of ``images``.

        Raises:
            InputError: an image without a row.
        """
        return self.saved.logits(_keys(images))


def image_logits(training_images: ExampleArray, load: Callable[[list[str]], SavedLogits]) -> ImageLogits:
    """Return the teacher whose rows belong to ``training_images``; ``load`` makes the table from one key for each row."""
    return ImageLogits(load(_keys(training_images)))


def _keys(images: ExampleArray) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
