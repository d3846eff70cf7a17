"""Whether images look the same mirrored, found out from the training images alone.

Each of some images is compared with the others and with their mirrored copies. Where left and right are alike, as in
photographs, the nearest is a mirrored one half of the time; of digits and letters it hardly ever is. A second question keeps
classes apart that are each other's mirror image, as b and d: neighbours that are mirrored must name the right class
about as often as those that are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from understudy.data.room import taken

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

LEAST_SHARE = 0.35
"""Photographs reach 0.45 to 0.5, clothes 0.19 to 0.3 and handwritten digits 0.03 to 0.11 (few images give the larger). Clothes
may be mirrored, but their test images are not, and the smallest students pay a point for what they need not know."""
_ASKED, _AMONG, _LONGEST_SIDE = 1000, 4000, 16
_LEAST_IMAGES = 50
_SURE = 2.0
"""Standard deviations of a difference that is no accident."""


@dataclass(frozen=True)
class MirrorTest:
    """What was found.

    Attributes:
        share: of the images that were asked, those whose nearest other image is a mirrored one.
        gained: images that have the right class at their nearest only with mirrored ones, as a share.
        lost: images that have it only without.
        images: how many were asked.
    """

    share: float
    gained: float
    lost: float
    images: int

    @property
    def safe(self) -> bool:
        """Whether images may be mirrored in training."""
        worse = self.images * (self.lost - self.gained)
        accident = _SURE * math.sqrt(self.images * (self.lost + self.gained))
        return self.images >= _LEAST_IMAGES and self.share >= LEAST_SHARE and worse <= accident


def mirror_test(pixels: UInt8Array, labels: Int64Array) -> MirrorTest:
    """Return what the images ``pixels`` ``[images, H, W, C]`` with ``labels`` say; a seeded sample where there are many."""
    rows = np.random.default_rng(0).permutation(len(pixels))[:_AMONG]
    features, truth = np.concatenate([_coarse(few) for few in taken(pixels, rows)]), labels[rows]
    plain = features.reshape(len(rows), -1)
    mirrored = features[:, :, ::-1].reshape(len(rows), -1)
    asked = np.arange(min(len(rows), _ASKED))
    if len(rows) < 2:
        return MirrorTest(0.0, 0.0, 0.0, len(asked))
    near, nearest = _nearest(plain, plain, asked)
    far, nearest_mirrored = _nearest(plain, mirrored, asked)
    turned = far < near
    right = truth[nearest] == truth[asked]
    right_with = np.where(turned, truth[nearest_mirrored], truth[nearest]) == truth[asked]
    return MirrorTest(
        share=float(turned.mean()),
        gained=float((right_with & ~right).mean()),
        lost=float((right & ~right_with).mean()),
        images=len(asked),
    )


def _coarse(pixels: UInt8Array) -> Float32Array:
    """Return means over squares ``[images, H', W', C]``, both sides at most 16: moving an image changes them little."""
    images, height, width, channels = pixels.shape
    side = -(-max(height, width) // _LONGEST_SIDE)
    rows, columns = height // side or 1, width // side or 1
    high, wide = min(side, height), min(side, width)
    cut = pixels[:, : rows * high, : columns * wide].reshape(images, rows, high, columns, wide, channels)
    means: Float32Array = cut.mean(axis=(2, 4), dtype=np.float32)
    return means


def _nearest(images: Float32Array, others: Float32Array, asked: Int64Array) -> tuple[Float32Array, Int64Array]:
    """Return squared distance and number of the nearest of ``others`` for each of ``asked``; none is its own neighbour."""
    distances = (images[asked] ** 2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * images[asked] @ others.T
    distances[asked, asked] = np.inf
    nearest = distances.argmin(axis=1)
    return distances[asked, nearest], nearest
