"""NPZ files of images and labels: the arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``x``, ``y``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError
from understudy.projections.log_mel import LogMel

UInt8Array = npt.NDArray[np.uint8]
ENDING = ".npz"
SHORTEST_SIDE, LONGEST_SIDE, MOST_CHANNELS = 4, 512, 4
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
    """

    pixels: UInt8Array
    labels: tuple[str, ...] | None
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    samples: npt.NDArray[np.int16] | None = None
    log_mel: LogMel | None = None

    def __len__(self) -> int:
        return len(self.pixels)


def read_arrays(path: Path, *, part: str) -> Images:
    """Return the images of ``part`` (``train`` or ``test``) in an NPZ: its arrays ``x_<part>``, ``y_<part>``, or ``x``, ``y``.

    Raises:
        InputError: no such file, not an NPZ of plain arrays, an array of another shape, kind or range.
    """
    arrays = plain_arrays(path)
    name = f"x_{part}" if f"x_{part}" in arrays else "x"
    if name not in arrays:
        raise InputError(
            f"an NPZ of images has x_{part} and y_{part}, or x and y: received arrays={sorted(arrays)[:_MOST_SHOWN]} in "
            f"file={str(path)!r}; name them so"
        )
    pixels = as_pixels(arrays[name], f"{name} in file={str(path)!r}")
    labels = arrays.get(name.replace("x", "y", 1))
    if labels is None:
        return Images(pixels, None)
    return Images(pixels, as_labels(labels, count=len(pixels), where=f"{name.replace('x', 'y', 1)} in file={str(path)!r}"))


def has_array(path: Path, name: str) -> bool:
    """Return whether the NPZ ``path`` holds the array ``name``."""
    with np.load(path, allow_pickle=False) as archive:
        return name in archive.files


def plain_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the NPZ ``path`` by name; those of other names than ours come empty.

    Raises:
        InputError: no such file, or not an NPZ of plain arrays.
    """
    if not path.is_file():
        raise InputError(f"a data file exists and is a file: received file={str(path)!r}; check the path")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            wanted = ("x", "y", "x_train", "y_train", "x_test", "y_test")
            return {name: archive[name] if name in wanted else np.empty(0) for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"an .npz is a whole archive of plain arrays: received file={str(path)!r} ({reason}); "
            "write it again with numpy.savez"
        ) from error


def as_pixels(array: npt.NDArray[Any], where: str) -> UInt8Array:
    """Return ``array`` as uint8 ``[images, H, W, C]``.

    Raises:
        InputError: another shape, kind or range; ``where`` says what it is.
    """
    if array.ndim not in (3, 4) or not len(array):
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
        return images
    if images.dtype.kind not in "iuf":
        raise InputError(f"pixels are numbers: received dtype={array.dtype} as {where}; convert them to uint8")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            count = int((~np.isfinite(images)).sum())
            raise InputError(f"pixels are finite: received NaN or infinity in {count} places of {where}; replace them")
        if images.min() >= 0 and images.max() <= 1:
            images = np.rint(images * 255.0)
    if images.min() < 0 or images.max() > 255 or (images.dtype.kind == "f" and (images != np.rint(images)).any()):
        raise InputError(
            f"pixels are whole numbers from 0 to 255, or fractions from 0 to 1: received min={images.min():g}, "
            f"max={images.max():g} as {where}; rescale them"
        )
    return images.astype(np.uint8)


def as_labels(array: npt.NDArray[Any], *, count: int, where: str, example: str = "image") -> tuple[str, ...]:
    """Return ``array`` ``[count]`` as strings; ``example`` is what each label belongs to.

    Raises:
        InputError: another number of them, or neither names nor whole numbers; ``where`` says what they are.
    """
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or len(flat) != count:
        raise InputError(
            f"each {example} has one label: received shape={array.shape} for {example}s={count} as {where}; check them"
        )
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all() or (flat != np.rint(flat)).any():
            raise InputError(f"labels are names or whole numbers: received other numbers as {where}; correct them")
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iubUS":
        raise InputError(f"labels are names or whole numbers: received dtype={array.dtype} as {where}; convert them")
    if flat.dtype.kind == "S":
        return tuple(value.decode("utf-8", "replace") for value in flat.tolist())
    return tuple(str(value) for value in flat.tolist())
