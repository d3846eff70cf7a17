"""IDX files of images and labels, the format of MNIST (LeCun et al. 1998): ``train-images-idx3-ubyte`` and its labels.

A file is two zero bytes, a byte for the kind of number, a byte for the number of axes, the length of each axis as four bytes,
big-endian, then the numbers, big-endian. It may be packed as ``.gz`` or ``.xz``.
"""

from __future__ import annotations

import gzip
import lzma
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from understudy.data.image_arrays import Images, as_labels, as_pixels
from understudy.data.read import check_is_file
from understudy.data.room import PIECE_BYTES, TEMPORARY, Room, fill
from understudy.errors import InputError

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"[-._]idx\d?(-[a-z]+)?(\.gz|\.xz)?$")
_IMAGES = re.compile(r"images([-._]idx)3")
_PARTS = {"train": ("train",), "validation": ("val",), "test": ("t10k", "test")}
_MOST_AXES = 4
_MOST_PACKED = 10_000
"""Bytes that a packed byte may stand for: zeros, in .xz, come to 7000."""
_PACKINGS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}


def is_idx(path: Path) -> bool:
    """Return whether ``path`` is named as an IDX file, or is a folder that holds files of images named so."""
    if path.is_dir():
        return any(_is_images(entry) for entry in path.iterdir())
    return _NAME.search(path.name.lower()) is not None


def has_part(path: Path, part: str) -> bool:
    """Return whether the folder ``path`` holds images of ``part`` (a key of ``_PARTS``); a file is one part by itself."""
    return path.is_dir() and bool(_found(path, part))


def read_idx(path: Path, *, part: str, room: Room = TEMPORARY) -> Images:
    """Return the images of one IDX file with the labels of the file beside it, or those of ``part`` in a folder.

    Labels are None where the images have no such file beside them.

    Raises:
        InputError: no such file, more than one candidate, damaged files, or files that do not belong together.
        SetupError: ``room`` has none for them.
    """
    images = _of_part(path, part) if path.is_dir() else path
    if not _IMAGES.search(images.name.lower()):
        raise InputError(
            "an IDX file of images has 'images-idx3' in its name, as train-images-idx3-ubyte: received "
            f"file={str(images)!r}; give the file of the images, with the labels beside it"
        )
    array = _read(images, room=room)
    if array.ndim == 3 and len(array):
        array = array[..., None]
    pixels = as_pixels(array, f"file={str(images)!r}", room=room)
    labels = _labels_beside(images)
    if labels is None:
        return Images(pixels, None)
    return Images(pixels, as_labels(_read(labels), count=len(pixels), where=f"file={str(labels)!r}"))


def _is_images(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and _NAME.search(name) is not None and _IMAGES.search(name) is not None


def _found(folder: Path, part: str) -> list[Path]:
    """Return the files of images of ``part``, by name."""
    return sorted(e for e in folder.iterdir() if _is_images(e) and any(word in e.name.lower() for word in _PARTS[part]))


def _of_part(folder: Path, part: str) -> Path:
    """Return the one file of images of ``part``; for validation and test one that has no other beside it will do."""
    found = _found(folder, part) or (sorted(filter(_is_images, folder.iterdir())) if part != "train" else [])
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"a folder of IDX files has one train-images-idx3-ubyte, and one of t10k or test: received {names} for {part} in "
            f"folder={str(folder)!r}; give the file itself, and other files with --test and --validation"
        )
    return found[0]


def _labels_beside(images: Path) -> Path | None:
    """Return the file of labels that belongs to ``images``, packed or not, None without one."""
    stem = re.sub(r"\.(gz|xz)$", "", images.name, flags=re.IGNORECASE)
    name = re.sub(r"images([-._]idx)3", r"labels\g<1>1", stem, flags=re.IGNORECASE)
    candidates = [images.with_name(name + packing) for packing in ("", *_PACKINGS)]
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path, *, room: Room = TEMPORARY) -> npt.NDArray[Any]:
    """Return the numbers in ``path`` in its shape, big-endian as they stand there."""
    check_is_file(path)
    unpacked = next((opened for ending, opened in _PACKINGS.items() if path.name.lower().endswith(ending)), Path.open)
    try:
        with unpacked(path, "rb") as stream:
            return _numbers(stream, path, room=room)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"an IDX file is whole, and packed as its ending says: received file={str(path)!r} "
            f"({' '.join(str(error).split())}); copy it again"
        ) from error


def _numbers(stream: BinaryIO, path: Path, *, room: Room) -> npt.NDArray[Any]:
    first = stream.read(4)
    axes = first[3] if len(first) == 4 else 0
    lengths = stream.read(4 * axes)
    if first[:2] != b"\0\0" or len(lengths) < 4 * axes or not 1 <= axes <= _MOST_AXES or first[2] not in _DTYPES:
        raise InputError(
            f"an IDX file begins with two zero bytes, the kind of number and the number of axes, at most {_MOST_AXES}: "
            f"received first_bytes={first.hex(' ')!r} in file={str(path)!r}; check that it is an IDX file"
        )
    shape = tuple(int(length) for length in np.frombuffer(lengths, ">u4"))
    dtype = np.dtype(_DTYPES[first[2]])
    wanted = math.prod(shape) * dtype.itemsize
    # more than any packing could hold: room is not even asked for
    array = room.empty(shape if wanted <= _MOST_PACKED * path.stat().st_size else (0,), dtype)
    received = fill(array, stream)
    while more := len(stream.read(PIECE_BYTES)):
        received += more
    if received != wanted:
        raise InputError(
            f"an IDX file holds what its header says: received bytes={received} for shape={shape}, which are "
            f"{wanted}, in file={str(path)!r}; copy it again"
        )
    return array
