"""NPZ files of images and labels: the arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``x``, ``y``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.data.npz import array_names, examples_of, labels_of, read_array
from understudy.data.room import TEMPORARY, Room, pieces
from understudy.errors import InputError
from understudy.projections.log_mel import LogMel
from understudy.settings import LONGEST_SIDE, SHORTEST_SIDE

UInt8Array = npt.NDArray[np.uint8]
MOST_CHANNELS = 4
_MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Images:
    """Images as they were read.

    Attributes:
        pixels: uint8 ``[images, H, W, C]``.
        labels: one string an image, None where the source has none.
        counts: warning to how often it occurred; see ``data/statistics.py``.
        left_out: pictures or recordings that could not be used, each with the reason.
        samples: int16 ``[images, samples]``: the sounds whose pictures these are, or None.
        log_mel: how they became pictures, or None.
        notes: how they were read where that needs saying, a line each.
        named: warning to the files that it counts, where these are worth naming.
    """

    pixels: UInt8Array
    labels: tuple[str, ...] | None
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    samples: npt.NDArray[np.int16] | None = None
    log_mel: LogMel | None = None
    notes: tuple[str, ...] = ()
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pixels)


def read_arrays(path: Path, *, part: str, room: Room = TEMPORARY) -> Images:
    """Return the images of ``part`` in an NPZ: ``x_<part>`` and ``y_<part>``, or ``x`` and ``y``; see ``npz.examples_of``.

    Raises:
        InputError: no such file, not an NPZ of plain arrays, an array of another shape, kind or range.
        SetupError: ``room`` has none for them.
    """
    names = array_names(path)
    name = examples_of(part, names)
    if name is None:
        raise InputError(
            f"an NPZ of images has x_{part} and y_{part}, or x and y: received arrays={sorted(names)[:_MOST_SHOWN]} in "
            f"file={str(path)!r}; name them so"
        )
    pixels, read_as = _converted(read_array(path, name, room=room), f"{name} in file={str(path)!r}", room)
    notes = (f"{name}: {read_as}",) if read_as else ()
    labels = labels_of(name)
    if labels not in names:
        return Images(pixels, None, notes=notes)
    where = f"{labels} in file={str(path)!r}"
    return Images(pixels, as_labels(read_array(path, labels), count=len(pixels), where=where), notes=notes)


def as_pixels(array: npt.NDArray[Any], where: str, *, room: Room = TEMPORARY) -> UInt8Array:
    """Return ``array`` as uint8 ``[images, H, W, C]``, in ``room`` where they are not those of ``array``.

    Raises:
        InputError: another shape, kind or range; ``where`` says what it is.
        SetupError: ``room`` has none for them.
    """
    return _converted(array, where, room)[0]


def _converted(array: npt.NDArray[Any], where: str, room: Room) -> tuple[UInt8Array, str]:
    """Return what ``as_pixels`` does, and what was made of other numbers than those from 0 to 255, empty for these."""
    if array.ndim in (3, 4) and not len(array):
        raise InputError(
            f"there is at least one image: received shape={array.shape} as {where}; check that it is the right file"
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"images are [images, H, W] or [images, H, W, C]: received shape={array.shape} as {where}; reshape them, "
            "channels last"
        )
    images = array if array.ndim == 4 else array[..., None]
    height, width, channels = images.shape[1:]
    if not (SHORTEST_SIDE <= min(height, width) <= max(height, width) <= LONGEST_SIDE and 1 <= channels <= MOST_CHANNELS):
        raise InputError(
            f"images have sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels and 1 to {MOST_CHANNELS} channels, channels last: "
            f"received shape={array.shape} as {where}; resize or transpose them"
        )
    if images.dtype == np.uint8:
        return images, ""
    if images.dtype.kind == "b":
        return _scaled(images, room), "false and true, read as pixels of 0 and 255"
    if images.dtype.kind not in "iuf":
        raise InputError(f"pixels are numbers: received dtype={array.dtype} as {where}; convert them to uint8")
    found = range_of(images)
    if found.unknown:
        raise InputError(f"pixels are finite: received NaN or infinity in {found.unknown} places of {where}; replace them")
    if not found.are_pixels:
        raise InputError(
            f"pixels are whole numbers from 0 to 255, or fractions from 0 to 1: received min={found.least:g}, "
            f"max={found.most:g} as {where}; rescale them"
        )
    if found.are_fractions:
        return _scaled(images, room), "fractions from 0 to 1, read as pixels from 0 to 255"
    pixels = room.empty(images.shape, np.uint8)
    for piece in pieces(images):
        pixels[piece] = images[piece]
    return pixels, ""


def _scaled(images: npt.NDArray[Any], room: Room) -> UInt8Array:
    """Return fractions from 0 to 1, or truth values, as pixels from 0 to 255."""
    pixels = room.empty(images.shape, np.uint8)
    for piece in pieces(images):
        pixels[piece] = np.rint(images[piece] * 255.0)
    return pixels


@dataclass(frozen=True)
class Range:
    """What numbers there are in an array that is not empty: the least and the most, and how many are NaN or infinite."""

    least: float
    most: float
    unknown: int
    whole: bool
    fractional_type: bool

    @property
    def are_fractions(self) -> bool:
        """Whether they are pixels as fractions from 0 to 1."""
        return self.fractional_type and self.least >= 0 and self.most <= 1

    @property
    def are_pixels(self) -> bool:
        """Whether they are whole numbers from 0 to 255, or fractions from 0 to 1."""
        return not self.unknown and (self.are_fractions or (self.whole and self.least >= 0 and self.most <= 255))


def range_of(array: npt.NDArray[Any]) -> Range:
    """Return the range of ``array``, of whole numbers or floats, looking at a piece after the other."""
    fractional_type = array.dtype.kind == "f"
    least, most, unknown, whole = math.inf, -math.inf, 0, True
    for piece in pieces(array):
        values = array[piece]
        if fractional_type:
            unknown += int((~np.isfinite(values)).sum())
            whole = whole and bool((values == np.rint(values)).all())
        least, most = min(least, values.min().item()), max(most, values.max().item())
    return Range(least, most, unknown, whole, fractional_type)


def as_labels(array: npt.NDArray[Any], *, count: int, where: str, example: str = "image") -> tuple[str, ...]:
    """Return ``array`` ``[count]`` as strings; ``example`` is what each label belongs to.

    Raises:
        InputError: another number of them, or neither names nor whole numbers; ``where`` says what they are.
    """
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or len(flat) != count:
        step = "make one-hot rows numbers by argmax(axis=1)" if flat.ndim == 2 else "check them"
        raise InputError(
            f"each {example} has one label: received shape={array.shape} for {example}s={count} as {where}; {step}"
        )
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all() or (flat != np.rint(flat)).any():
            raise InputError(f"labels are names or whole numbers: received other numbers as {where}; correct them")
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iubUS":
        raise InputError(f"labels are names or whole numbers: received dtype={array.dtype} as {where}; convert them")
    if flat.dtype.kind == "S":
        try:
            return tuple(value.decode("utf-8") for value in flat.tolist())
        except UnicodeDecodeError as error:  # replaced bytes would make one class of two
            raise InputError(
                f"a label is valid UTF-8: received {error.object!r} as {where}; decode them as they were encoded"
            ) from None
    return tuple(str(value) for value in flat.tolist())
