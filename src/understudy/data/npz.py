"""NPZ archives of plain arrays, read a piece at a time, so that one larger than memory can stand on disk."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from understudy.data.read import check_is_file
from understudy.data.room import TEMPORARY, Room, fill
from understudy.errors import InputError
from understudy.program.npz import UNREADABLE

ENDING = ".npz"
_EXAMPLES = {
    "train": ("x_train", "x"),
    "validation": ("x_val", "x_validation", "x_valid", "x"),
    "test": ("x_test", "x"),
}
"""Part to the names of its examples, the first that is there; those of the labels have ``y`` in place of ``x``."""


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in the NPZ ``path``.

    Raises:
        InputError: no such file, or not an NPZ.
    """
    with _opened(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def examples_of(part: str, names: Sequence[str]) -> str | None:
    """Return which of the arrays ``names`` holds the examples of ``part`` (``train``, ``validation``, ``test``), or None."""
    return next((name for name in _EXAMPLES[part] if name in names), None)


def labels_of(examples: str) -> str:
    """Return the name of the array with the labels of the array ``examples``."""
    return examples.replace("x", "y", 1)


def has_part_of_its_own(part: str, names: Sequence[str]) -> bool:
    """Return whether one of the arrays ``names`` is of ``part`` alone, not ``x``, which is of any."""
    return examples_of(part, names) not in (None, "x")


def note_on_unused(path: Path, parts: Sequence[str]) -> tuple[str, ...]:
    """Return a line on the arrays of the NPZ ``path`` that none of ``parts``, which are read from it, uses; none for none.

    Raises:
        InputError: no such file, or not an NPZ.
    """
    names = array_names(path)
    examples = [examples_of(part, names) for part in parts]
    used = {name for name in examples if name} | {labels_of(name) for name in examples if name}
    unused = [name for name in names if name not in used]
    return (f"arrays that are not used: {', '.join(unused)}",) if unused else ()


def read_array(path: Path, name: str, *, room: Room = TEMPORARY) -> npt.NDArray[Any]:
    """Return the array ``name`` of the NPZ ``path``, which stands in ``room``.

    Raises:
        InputError: the archive or the array is damaged, or holds objects.
        SetupError: ``room`` has none for it.
    """
    with _opened(path) as archive, archive.open(f"{name}.npy") as stream:
        shape, fortran_order, dtype = _read_header(stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds objects: {name}.astype(str) makes names of them, astype(float) numbers")
        size, whole = math.prod(shape) * dtype.itemsize, archive.getinfo(f"{name}.npy").file_size - stream.tell()
        if size > whole:
            raise ValueError(f"{name} has {whole} bytes for shape={shape}, which are {size}")
        array = room.empty(shape[::-1] if fortran_order else shape, dtype)
        if fill(array, stream) < size:
            raise ValueError(f"{name} ends too early")
        stream.read(1)  # at the end the checksum is compared
        return array.T if fortran_order else array


def array_shape(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array ``name`` of the NPZ ``path``, of which no more is read.

    Raises:
        InputError: the archive or the array is damaged.
    """
    with _opened(path) as archive, archive.open(f"{name}.npy") as stream:
        shape, _, dtype = _read_header(stream)
        return shape, dtype


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the first axis varies fastest, and type of the NPY that begins at ``stream``.

    Raises:
        ValueError: there is none.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of shape={shape}")
    return shape, fortran_order, dtype


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the NPZ ``path``, and turn what is found to be wrong with it into an ``InputError``."""
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"an .npz is a whole archive of plain arrays: received file={str(path)!r} ({reason}); "
            "write it again with numpy.savez"
        ) from error


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Return the array of an NPY.

    Raises:
        InputError: no such file, or no plain array.
    """
    check_is_file(path)
    try:
        if zipfile.is_zipfile(path):
            raise ValueError("an archive of several arrays")
        with path.open("rb") as stream:
            found: npt.NDArray[Any] = np.load(stream, allow_pickle=False)
    except UNREADABLE as error:
        # NumPy takes what is no array for pickled objects, and says how to run their code
        reason = "no plain array" if "pickle" in str(error) else " ".join(str(error).split())
        raise InputError(
            f"arrays come as .npy or .npz: received file={str(path)!r} ({reason}); write it with numpy.save or numpy.savez"
        ) from error
    return found
