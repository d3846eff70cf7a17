"""Stronger variations of training images, which a job may ask for: RandAugment, cutout and mixup, a whole batch at a time.

Images are real values ``[batch, H, W, C]`` from 0 to 1. Everything random comes from torch's generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from understudy.settings import Variation

__all__ = ["Mixture", "Variation", "cutout", "mixup", "rand_augment"]

OPERATIONS, MAGNITUDE = 2, 0.3
"""N and M / 30 of RandAugment; the paper's search chose 1 to 3 and 4 to 15 for small networks."""
CUTOUT_SHARE = 0.5
"""Side of the square that is cut out, as a share of the image's (DeVries & Taylor 2017: 16 of CIFAR-10's 32 pixels)."""
MIXUP_ALPHA = 0.2
"""Of the Beta distribution of shares: most mixtures are nearly one of their two images (the paper's choice for ImageNet)."""

# the largest changes: those of RandAugment's reference code, in degrees and shares
_ROTATION, _SHEAR, _TRANSLATION, _BLEND, _BITS = 30.0, 0.3, 0.45, 0.9, 4
_LUMINANCE = (0.299, 0.587, 0.114)
_LEVELS = 256

_MOVES: Final = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
_DRAWINGS: Final = ("identity", *_MOVES, "contrast", "brightness", "sharpness")
"""Of these any picture stays what it is."""
_PHOTOGRAPHS: Final = (*_DRAWINGS, "autocontrast", "equalize", "solarize", "color", "posterize")
"""All of RandAugment's: what is bright or dark, and of which colour, may change too."""


def rand_augment(images: Tensor, *, photographs: bool, operations: int = OPERATIONS, magnitude: float = MAGNITUDE) -> Tensor:
    """Return ``images`` after ``operations`` random changes of each, RandAugment (Cubuk et al. 2019).

    Args:
        images: ``[batch, H, W, C]`` from 0 to 1.
        photographs: all fourteen operations, where they are; else those that keep light and dark in their order.
        operations: changes of one image.
        magnitude: how large they are, from 0 to 1; those that go both ways do so at random.
    """
    names, device = _PHOTOGRAPHS if photographs else _DRAWINGS, images.device
    for _ in range(operations):
        chosen = torch.randint(len(names), (len(images),), device=device)
        strength = magnitude * (2.0 * torch.randint(0, 2, (len(images),), device=device) - 1)
        images = _moved(images, chosen, strength, names)
        for number, name in enumerate(names):
            if name in _COLOURS:
                rows = (chosen == number).nonzero()[:, 0]
                if not len(rows):
                    continue
                changed = _COLOURS[name](images[rows], strength[rows, None, None, None])
                images = images.index_copy(0, rows, changed.clamp(0, 1))
    return images


def cutout(images: Tensor) -> Tensor:
    """Return ``images`` with a square of each, anywhere and cut off by the edges, in the image's mean colour."""
    (count, height, width), device = images.shape[:3], images.device
    inside = torch.ones(count, height, width, dtype=torch.bool, device=device)
    for axis, size in ((1, height), (2, width)):
        reach = CUTOUT_SHARE * min(height, width) / 2
        places = torch.rand(count, 1, device=device) * (size - 1)
        near = (torch.arange(size, device=device) - places).abs() < reach
        inside &= near[:, :, None] if axis == 1 else near[:, None, :]
    return torch.where(inside[..., None], images.mean(dim=(1, 2), keepdim=True), images)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Which images of a batch were mixed.

    Attributes:
        share: of an image itself, from 0 to 1; the rest is its partner's.
        partner: int64 ``[batch]``, the number of each image's partner in the batch.
    """

    share: float
    partner: Tensor


def mixup(images: Tensor, *, alpha: float = MIXUP_ALPHA) -> tuple[Tensor, Mixture]:
    """Return ``images``, each mixed with another one of the batch, and how (Zhang et al. 2018, arXiv 1710.09412, equation 1).

    Args:
        images: ``[batch, H, W, C]``.
        alpha: both parameters of the Beta distribution that the batch's share is drawn from.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    mixture = Mixture(share, torch.randperm(len(images), device=images.device))
    return share * images + (1 - share) * images[mixture.partner], mixture


def _moved(images: Tensor, chosen: Tensor, strength: Tensor, names: tuple[str, ...]) -> Tensor:
    """Return ``images`` where those with a move ``chosen`` are rotated, sheared or translated, all in one resampling."""
    height, width = images.shape[1:3]
    numbers = {name: chosen == names.index(name) for name in _MOVES}
    angle = math.radians(_ROTATION) * strength * numbers["rotate"]
    matrix = torch.zeros(len(images), 2, 3, device=images.device)
    # from places in the result to places in the image, both from -1 to 1
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1] = -angle.sin() * height / width + _SHEAR * strength * numbers["shear-x"]
    matrix[:, 1, 0] = angle.sin() * width / height + _SHEAR * strength * numbers["shear-y"]
    matrix[:, 0, 2] = 2 * _TRANSLATION * strength * numbers["translate-x"]
    matrix[:, 1, 2] = 2 * _TRANSLATION * strength * numbers["translate-y"]
    rows = torch.stack(list(numbers.values())).any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return images
    maps = images[rows].permute(0, 3, 1, 2)
    grid = functional.affine_grid(matrix[rows], list(maps.shape), align_corners=False)
    found = functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return images.index_copy(0, rows, found.permute(0, 2, 3, 1))


def _blend(images: Tensor, plain: Tensor, strength: Tensor) -> Tensor:
    return plain + (1 + _BLEND * strength) * (images - plain)


def _grey(images: Tensor) -> Tensor:
    if images.shape[3] != len(_LUMINANCE):
        return images.mean(dim=3, keepdim=True)
    return (images * torch.tensor(_LUMINANCE, device=images.device)).sum(dim=3, keepdim=True)


def _smooth(images: Tensor) -> Tensor:
    """Return the mean around each pixel, itself five times, as Pillow's filter does."""
    maps = functional.pad(images.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
    return ((9 * functional.avg_pool2d(maps, 3, stride=1)).permute(0, 2, 3, 1) + 4 * images) / 13


def _autocontrast(images: Tensor) -> Tensor:
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalized(images: Tensor) -> Tensor:
    """Return ``images`` with every level as frequent as any other in each channel."""
    count, height, width, channels = images.shape
    levels = (images * (_LEVELS - 1)).round().long().permute(0, 3, 1, 2).reshape(count * channels, -1)
    frequent = images.new_zeros(len(levels), _LEVELS).scatter_add(1, levels, images.new_ones(levels.shape))
    darker = frequent.cumsum(dim=1) - frequent
    most = torch.where(frequent > 0, darker, 0.0).amax(dim=1, keepdim=True)  # of the lightest level there is
    even = torch.linspace(0, 1, _LEVELS, device=images.device)
    spread = torch.where(most > 0, darker / most.clamp(min=1), even).clamp(max=1)
    return spread.gather(1, levels).reshape(count, channels, height, width).permute(0, 2, 3, 1)


def _posterized(images: Tensor, strength: Tensor) -> Tensor:
    step = 2.0 ** (_BITS * strength.abs()).round()
    return (images * (_LEVELS - 1) / step).floor() * step / (_LEVELS - 1)


_COLOURS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "contrast": lambda images, strength: _blend(images, _grey(images).mean(dim=(1, 2), keepdim=True), strength),
    "brightness": lambda images, strength: _blend(images, images.new_zeros(1), strength),
    "sharpness": lambda images, strength: _blend(images, _smooth(images), strength),
    "color": lambda images, strength: _blend(images, _grey(images), strength),
    "autocontrast": lambda images, _: _autocontrast(images),
    "equalize": lambda images, _: _equalized(images),
    "solarize": lambda images, strength: torch.where(images <= 1 - strength.abs(), images, 1 - images),
    "posterize": _posterized,
}
