"""Pictures (PNG, JPEG, WebP) to pixels, read with Pillow (extra ``image``), and the one rule by which they are resized."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from understudy.data.read import check_is_file
from understudy.errors import InputError, missing_extra

if TYPE_CHECKING:
    from PIL import Image

UInt8Array = npt.NDArray[np.uint8]
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_PNG = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH = 24
"""Where the first chunk of a PNG, IHDR, holds the bits of a channel."""
_GREY_MODES = ("1", "L", "LA", "La")
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The EXIF tag and its values that exchange height and width."""


@dataclass(frozen=True)
class Look:
    """What a picture's header says: size as it is meant to be seen, and whether it is grey."""

    height: int
    width: int
    grey: bool


def look_at(path: Path) -> Look:
    """Return what the header of the picture in ``path`` says.

    Raises:
        ValueError: why it cannot be used.
        SetupError: Pillow is not installed.
    """
    image = _opened(path)
    width, height = image.size
    with _reason():
        if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
    return Look(height, width, image.mode in _GREY_MODES)


def pixels_of(path: Path, *, shape: tuple[int, int, int]) -> UInt8Array:
    """Return the picture in ``path`` as uint8 ``[H, W, C]`` of ``shape``.

    It is turned upright as its EXIF says and made grey (ITU-R BT.601) or colour; transparency is dropped. One of another
    size is cut around its centre to the wanted proportions, then scaled by Pillow's antialiased bilinear filter.

    Raises:
        ValueError: why it cannot be used.
        SetupError: Pillow is not installed.
    """
    pillow = _pillow()
    from PIL import ImageOps

    image = _opened(path)
    height, width, channels = shape
    with _reason():  # Pillow reads the data, and finds what is wrong with it, here
        upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    if upright.size != (width, height):
        upright = ImageOps.fit(upright, (width, height), method=pillow.Resampling.BILINEAR)
    return np.asarray(upright, np.uint8).reshape(shape)


def read_picture(path: Path, *, shape: tuple[int, int, int]) -> UInt8Array:
    """Return ``pixels_of`` one picture that must be good.

    Raises:
        InputError: it cannot be used.
        SetupError: Pillow is not installed.
    """
    check_is_file(path)
    try:
        return pixels_of(path, shape=shape)
    except ValueError as error:
        raise InputError(
            f"a picture is a whole PNG, JPEG or WebP of 8 bits a channel, not animated: received file={str(path)!r} ({error}); "
            "save it anew, or give an .npz of pixels"
        ) from error


@contextmanager
def _reason() -> Iterator[None]:
    """Turn what Pillow raises about a damaged picture into a ``ValueError`` of one line."""
    try:
        yield
    except Exception as error:  # of what a damaged picture holds, its reader raises anything
        raise ValueError(" ".join(str(error).split()) or "damaged") from error


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra(purpose="reading pictures", extra="image") from error
    return Image


def _opened(path: Path) -> Image.Image:
    """Return the picture with its header read, refusing what has no single 8-bit meaning."""
    pillow = _pillow()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if not content:
        raise ValueError("the file is empty")
    if content.startswith(_PNG) and content[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10":
        raise ValueError("16 bits a channel")  # Pillow would drop the lower eight
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            image: Image.Image = pillow.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP"))
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise ValueError("too many pixels") from error
    except Exception as error:
        raise ValueError("no PNG, JPEG or WebP") from error
    # an MPO is a JPEG with further views, of which the first is the picture
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise ValueError(f"animated, frames={getattr(image, 'n_frames', 1)}")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"more than 8 bits a channel, mode={image.mode}")
    return image
