"""What the user's data are: told by the file, in an NPZ by type and rank of its array, in a table by its first row."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from understudy.data.image import is_image_source
from understudy.data.image_arrays import ENDING
from understudy.data.number_table import holds_numbers
from understudy.data.read import is_table
from understudy.errors import InputError
from understudy.job import DataSettings

Kind = Literal["text", "image", "vector"]


def kind_of(settings: DataSettings) -> Kind:
    """Return the kind of ``settings.train``: that of ``settings.kind``, else what the file says.

    IDX files and folders are images. Tables are texts, or vectors where columns of numbers are named, or where no column has a
    usual name of texts and the first row is numbers beside the label. In an NPZ, ``[examples, d]`` are vectors and four axes
    images. Three are grey images where they hold pixels: uint8, or wider whole numbers from 0 to 255, or such numbers or
    fractions from 0 to 1 as floats where both sides are equal. All other three are windows.

    Raises:
        InputError: the file cannot be of the kind that ``settings`` asks for.
    """
    path = settings.train
    found: Kind = "image" if is_image_source(path) else "text"
    if settings.columns and (settings.text is not None or settings.kind not in ("auto", "vector")):
        raise InputError(
            f"columns of numbers are vectors: received data.columns={list(settings.columns)} with data.text={settings.text!r} "
            f"and data.kind={settings.kind!r}; remove the columns, or the others"
        )
    archive, table = path.name.lower().endswith(ENDING), is_table(path)
    if settings.kind == "auto":
        if table and settings.text is None and (settings.columns or holds_numbers(path, label=settings.label)):
            return "vector"
        return "vector" if archive and _holds_vectors(path) else found
    if settings.kind != found and not ((archive or table) and settings.kind == "vector"):
        raise InputError(
            "tables are texts or vectors, folders and IDX files images, an NPZ images or vectors: received "
            f"data.kind={settings.kind!r} with file={str(path)!r}; remove it or give another file"
        )
    return settings.kind


def _holds_vectors(path: Path) -> bool:
    """Return whether the first of ``x_train``, ``x`` in the NPZ ``path`` is of vectors or windows."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((f"{name}.npy" for name in ("x_train", "x") if f"{name}.npy" in archive.namelist()), None)
            if name is None:
                return False
            with archive.open(name) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(stream)
        if len(shape) != 3 or dtype == np.uint8:
            return len(shape) == 2
        if dtype.itemsize == 1 or (dtype.kind == "f" and shape[1] != shape[2]):
            return True
        with np.load(path, allow_pickle=False) as arrays:
            return not _are_pixels(arrays[name.removesuffix(".npy")])
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False  # who reads it whole says what is wrong


def _are_pixels(values: npt.NDArray[Any]) -> bool:
    """Return whether ``values`` are what ``as_pixels`` takes: whole numbers from 0 to 255, or fractions from 0 to 1."""
    if values.dtype.kind not in "iuf" or not values.size or not (values.min() >= 0 and values.max() <= 255):
        return False
    return values.dtype.kind != "f" or values.max() <= 1 or bool((values == np.rint(values)).all())
