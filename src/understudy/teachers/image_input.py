"""How a model takes images: the order of axes and the range of pixel values, and what a file declares about either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from understudy.data.room import pieces
from understudy.errors import InputError
from understudy.teachers.protocol import UInt8Array

AnyArray = npt.NDArray[Any]
Layout = Literal["NHWC", "NCHW", "NHW", "flat"]
Shape = tuple[int, int, int]
"""Height, width and channels of the data's images."""
_DECLARED_WITHIN = 0.1
"""A quantized input declares the range whose ends are at most this share of its width away."""


@dataclass(frozen=True)
class PixelRange:
    """From bytes to what a model wants: ``(pixel / divisor - mean) / deviation``.

    Attributes:
        name: for people.
        divisor: 255 for fractions, 1 for pixels as they are.
        mean: of each channel, or one for all.
        deviation: of each channel, or one for all.
        reversed_channels: blue first.
    """

    name: str
    divisor: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    reversed_channels: bool = False

    def __call__(self, images: UInt8Array) -> npt.NDArray[np.float32]:
        """Return float32 of the same shape."""
        pixels = images[..., ::-1] if self.reversed_channels else images
        values = pixels.astype(np.float64) / self.divisor
        return np.asarray((values - np.array(self.mean)) / np.array(self.deviation), np.float32)

    def fits(self, channels: int) -> bool:
        """Return whether this range is meant for images with so many channels."""
        return channels == 3 if self.reversed_channels else len(self.mean) in (1, channels)

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest value."""
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        return float((-mean / deviation).min()), float(((255 / self.divisor - mean) / deviation).max())


UNIT = PixelRange("0 to 1")
SYMMETRIC = PixelRange("-1 to 1", mean=(0.5,), deviation=(0.5,))
# the means and deviations of ImageNet's training images, which torchvision's and most of timm's models use
IMAGENET = PixelRange("ImageNet's mean and deviation", mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
RAW = PixelRange("0 to 255", divisor=1.0)
# keras/src/applications/imagenet_utils.py, mode "caffe": ResNet50 and VGG in Keras
CAFFE = PixelRange(
    "0 to 255 less ImageNet's mean, blue first", divisor=1.0, mean=(103.939, 116.779, 123.68), reversed_channels=True
)
LARGEST_OF_UNIT = 2.0
"""A mean or deviation beyond this is not one of pixels from 0 to 1."""
USUAL = (UNIT, SYMMETRIC, IMAGENET, RAW, CAFFE)
"""The most usual first: where nothing tells two of them apart, the first is taken."""
RARER = (
    PixelRange("-0.5 to 0.5", mean=(0.5,)),
    PixelRange("-128 to 127", divisor=1.0, mean=(128.0,)),
    PixelRange("0 to 1, blue first", reversed_channels=True),
)
"""Ranges that are tried where labels tell which is right; the last as OpenCV gives images."""


def range_as_said(said: Any, channels: int) -> PixelRange:
    """Return the range that a user names: one of ``USUAL`` by its name, or (mean, deviation) of pixels from 0 to 1.

    Raises:
        InputError: neither, or one for images with other ``channels``.
    """
    found = next((usual for usual in USUAL if usual.name == said), None)
    if found is None and not isinstance(said, str):
        try:
            mean, deviation = (tuple(float(number) for number in np.atleast_1d(part)) for part in said)
        except (TypeError, ValueError):
            mean, deviation = (), ()
        if mean and max((*map(abs, mean), *deviation), default=0.0) > LARGEST_OF_UNIT:
            raise InputError(
                f"(mean, deviation) are those of pixels from 0 to 1: received pixel_range={said!r}; divide them by 255, or say "
                f"{RAW.name!r} where the model takes pixels as they are"
            )
        if mean and len(mean) == len(deviation) and np.isfinite(mean).all() and min(deviation) > 0:
            shown = ", ".join(f"{m:g} ± {d:g}" for m, d in zip(mean, deviation, strict=True))
            found = PixelRange(f"mean and deviation {shown}", mean=mean, deviation=deviation)
    if found is None or not found.fits(channels):
        names = ", ".join(repr(usual.name) for usual in USUAL if usual.fits(channels))
        raise InputError(
            f"a range of pixels is {names}, or (mean, deviation) of pixels from 0 to 1, one for all or one for each channel: "
            f"received pixel_range={said!r} for channels={channels}; name one of these"
        )
    return found


def standardized(images: UInt8Array) -> PixelRange:
    """Return the range that gives ``images`` mean 0 and deviation 1 in each channel, as many trainings do."""
    levels, channels = np.arange(256) / 255, range(images.shape[-1])
    counts = sum(
        np.stack([np.bincount(images[piece][..., channel].reshape(-1), minlength=256) for channel in channels])
        for piece in pieces(images)
    )
    share = counts / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
    mean = share @ levels
    deviation = np.maximum(np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1)), 1e-3)
    shown = ", ".join(f"{m:.4f} ± {d:.4f}" for m, d in zip(mean, deviation, strict=True))
    return PixelRange(
        f"mean and deviation of the training images ({shown})",
        mean=tuple(round(float(m), 4) for m in mean),
        deviation=tuple(round(float(d), 4) for d in deviation),
    )


@dataclass(frozen=True)
class ImageInput:
    """A model's input tensor.

    Attributes:
        batch: images in one run; None where any number will do.
        sizes: of the axes behind the batch, None for each that is free; None where nothing is known.
        dtype: of the elements.
        quantization: (scale, zero point) of a quantized input, else None.
        pixel_range: what is noted beside the weights, None where nothing is.
    """

    batch: int | None = None
    sizes: tuple[int | None, ...] | None = None
    dtype: str = "float32"
    quantization: tuple[float, int] | None = None
    pixel_range: PixelRange | None = None

    def describe(self) -> str:
        """Return the tensor for people: ``float32 [any, 32, 32, 3]``."""
        if self.sizes is None:
            return f"{self.dtype} of any shape"
        sizes = ("any" if size is None else str(size) for size in (self.batch, *self.sizes))
        return f"{self.dtype} [{', '.join(sizes)}]"

    def takes(self, sizes: tuple[int, ...]) -> bool:
        """Return whether a batch of tensors of ``sizes`` fits."""
        return self.sizes is None or _fit(self.sizes, sizes)

    def image_shape(self) -> Shape | None:
        """Return height, width and channels of the only images that fit, grey or colour; None where others do or none."""
        if self.sizes is None:
            return None
        sizes = [size for size in self.sizes if size is not None]
        if len(sizes) < len(self.sizes):
            return None
        match sizes:
            case [height, width]:
                return height, width, 1
            case [height, width, (1 | 3) as channels]:
                return height, width, channels
            case [(1 | 3) as channels, height, width]:
                return height, width, channels
        return None

    def layouts(self, shape: Shape, *, name: str) -> tuple[Layout, ...]:
        """Return the orders of axes in which images of ``shape`` fit the tensor of the model ``name``.

        Raises:
            InputError: in none.
        """
        height, width, channels = shape
        wanted: dict[Layout, tuple[int, ...]] = {"NCHW": (channels, height, width), "NHWC": shape}
        if channels == 1:
            wanted["NHW"] = (height, width)
        wanted["flat"] = (height * width * channels,)
        if self.sizes is None:
            return tuple(wanted)
        found = tuple(layout for layout, sizes in wanted.items() if _fit(self.sizes, sizes))
        if not found:
            raise InputError(
                f"a teacher for images takes them as the data has them: received input={self.describe()} of teacher={name!r} "
                f"for images={list(shape)} (height, width, channels); give the images the teacher's size (of pictures in a "
                "folder: --image-size), or put the resizing into a Python function and give file.py:name"
            )
        return found

    def declared_range(self) -> PixelRange | None:
        """Return the range that the quantization or the type of the elements declares, None where it is open."""
        if self.quantization is not None:
            scale, zero_point = self.quantization
            limits = np.iinfo(self.dtype)
            low, high = scale * (limits.min - zero_point), scale * (limits.max - zero_point)
            for found in USUAL:
                away = max(abs(low - found.ends[0]), abs(high - found.ends[1]))
                if away <= _DECLARED_WITHIN * (found.ends[1] - found.ends[0]):
                    return found
            return None
        return RAW if np.dtype(self.dtype).kind in "iu" else None

    def holds(self, values: AnyArray) -> bool:
        """Return whether ``values`` are whole numbers that the elements can be."""
        if np.dtype(self.dtype).kind not in "iu" or not values.size:
            return True
        limits = np.iinfo(self.dtype)
        whole = values.dtype.kind in "iu" or bool((values == np.rint(values)).all())
        return whole and bool(values.min() >= limits.min and values.max() <= limits.max)

    def cast(self, values: AnyArray, *, in_steps: bool = False) -> AnyArray:
        """Return ``values`` in the type of the elements, quantized where these are and ``values`` are not ``in_steps`` yet."""
        dtype = np.dtype(self.dtype)
        if self.quantization is not None and not in_steps:
            scale, zero_point = self.quantization
            values = np.rint(values / np.float32(scale)) + zero_point
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return np.ascontiguousarray(values.astype(dtype))


def _fit(sizes: tuple[int | None, ...], wanted: tuple[int, ...]) -> bool:
    return len(sizes) == len(wanted) and all(size in (None, want) for size, want in zip(sizes, wanted, strict=True))


class Prepares(Protocol):
    """What is done to examples before a model sees them; equal ones have equal ``repr``, which digests are made of."""

    def describe(self) -> str:
        """Return it for people."""
        ...

    def __call__(self, examples: Any, /) -> AnyArray:
        """Return the model's input for ``examples``."""
        ...


@dataclass(frozen=True)
class Preparation:
    """What is done to images before a model sees them."""

    input: ImageInput
    layout: Layout
    pixel_range: PixelRange

    def describe(self) -> str:
        """Return layout and range for people."""
        return f"input {self.input.describe()}, layout {self.layout}, pixels {self.pixel_range.name}"

    def __call__(self, images: UInt8Array) -> AnyArray:
        """Return the model's input for ``images`` ``[N, H, W, C]``."""
        values: AnyArray = self.pixel_range(images)
        match self.layout:
            case "NCHW":
                values = values.transpose(0, 3, 1, 2)
            case "NHW":
                values = values[..., 0]
            case "flat":
                values = values.reshape(len(values), -1)
        return self.input.cast(values)
