"""What the user's data are: told by the file, in an NPZ by type and rank of its array, in a table by its first row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from understudy.data.image import is_image_source
from understudy.data.image_arrays import range_of
from understudy.data.npz import ENDING, array_names, array_shape, examples_of, read_array
from understudy.data.number_table import holds_numbers
from understudy.data.read import is_table
from understudy.data.room import TEMPORARY, Room
from understudy.errors import InputError
from understudy.job import DataSettings

Kind = Literal["text", "image", "vector"]


def kind_of(settings: DataSettings, *, room: Room = TEMPORARY) -> Kind:
    """Return the kind of ``settings.train``: that of ``settings.kind``, else what the file says.

    IDX files and folders are images. Tables are texts, or vectors where columns of numbers are named, or where no column has a
    usual name of texts and the first row is numbers beside the label. In an NPZ, ``[examples, d]`` are vectors and four axes
    images. Three are grey images where they hold pixels: uint8, or wider whole numbers from 0 to 255, or, where both sides
    are equal, such numbers or fractions from 0 to 1 as floats, or truth values. All other three are windows.

    Raises:
        InputError: the file cannot be of the kind that ``settings`` asks for.
        SetupError: ``room`` has none for an array that must be looked at whole.
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
        return "vector" if archive and _holds_vectors(path, room) else found
    if settings.kind != found and not ((archive or table) and settings.kind == "vector"):
        raise InputError(
            "tables are texts or vectors, folders and IDX files images, an NPZ images or vectors: received "
            f"data.kind={settings.kind!r} with file={str(path)!r}; remove it or give another file"
        )
    return settings.kind


def _holds_vectors(path: Path, room: Room) -> bool:
    """Return whether the first of ``x_train``, ``x`` in the NPZ ``path`` is of vectors or windows."""
    try:
        names = array_names(path)
        name = examples_of("train", names)
        if name is None:
            return False
        shape, dtype = array_shape(path, name)
        if len(shape) != 3 or dtype == np.uint8:
            return len(shape) == 2
        if dtype.kind in "bf" and shape[1] != shape[2]:
            return True
        if dtype.itemsize == 1:
            return dtype.kind != "b"
        array = read_array(path, name, room=room)
        return array.dtype.kind not in "iuf" or not array.size or not range_of(array).are_pixels
    except InputError:
        return False  # who reads it whole says what is wrong
