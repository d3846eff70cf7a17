"""NPZ and NPY files of numbers: vectors ``[examples, d]``, or windows ``[examples, T, C]`` of T steps and C channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.data.image_arrays import as_labels
from understudy.data.npz import ENDING, array_names, examples_of, labels_of, read_array, read_npy
from understudy.data.room import TEMPORARY, Room, pieces
from understudy.errors import InputError

Float32Array = npt.NDArray[np.float32]
MOST_NUMBERS = 65534
"""Of one example: what the C runtime counts to."""
LARGEST_NUMBER = 1e30
_MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors or windows as they were read.

    Attributes:
        values: float32 ``[examples, d]`` or ``[examples, T, C]``.
        labels: one string an example, None where the file has none.
        columns: names of a vector's numbers; None in arrays, which have none.
    """

    values: Float32Array
    labels: tuple[str, ...] | None
    columns: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)


def read_vectors(path: Path, *, part: str, room: Room = TEMPORARY) -> Vectors:
    """Return the examples of ``part`` in an NPZ: ``x_<part>`` and ``y_<part>``, or ``x`` and ``y``; see ``npz.examples_of``.

    Raises:
        InputError: no such file, not an NPZ of plain arrays, an array of another shape, kind or range.
        SetupError: ``room`` has none for them.
    """
    names = array_names(path)
    name = examples_of(part, names)
    if name is None:
        raise InputError(
            f"an NPZ of vectors has x_{part} and y_{part}, or x and y: received arrays={sorted(names)[:_MOST_SHOWN]} in "
            f"file={str(path)!r}; name them so"
        )
    values = as_numbers(read_array(path, name, room=room), f"{name} in file={str(path)!r}", room=room)
    unknown = np.concatenate([_unknown(values[piece]) for piece in pieces(values)])
    if unknown.any():
        raise InputError(
            f"numbers to learn from are finite: received NaN or infinity in {int(unknown.sum())} places of {name} in "
            f"file={str(path)!r}, the first in example {int((unknown > 0).argmax())}; replace them or remove these examples"
        )
    labels = labels_of(name)
    if labels not in names:
        return Vectors(values, None)
    where = f"{labels} in file={str(path)!r}"
    return Vectors(values, as_labels(read_array(path, labels), count=len(values), where=where, example="example"))


def read_numbers(path: Path, shape: tuple[int, ...]) -> Float32Array:
    """Return examples of ``shape`` to predict, from an NPZ (``x_test`` or ``x``) or an NPY that holds one or several.

    NaN and infinities are allowed here: a device meets them too.

    Raises:
        InputError: no such file, not plain arrays, or examples of another shape.
    """
    if path.name.lower().endswith(ENDING):
        names = array_names(path)
        name = examples_of("test", names)
        if name is None:
            raise InputError(
                f"an NPZ of vectors has x_test or x: received arrays={sorted(names)[:_MOST_SHOWN]} in file={str(path)!r}; "
                "name it so"
            )
        array = read_array(path, name)
    else:
        array = read_npy(path)
    where = f"file={str(path)!r}"
    values = as_numbers(array if array.ndim > len(shape) else array[None], where)
    if values.shape[1:] != shape:
        raise InputError(
            f"this model reads {' x '.join(map(str, shape))} numbers: received shape={array.shape} in {where}; give examples "
            "as it was trained on"
        )
    return values


def as_numbers(array: npt.NDArray[Any], where: str, *, room: Room = TEMPORARY) -> Float32Array:
    """Return ``array`` as float32 ``[examples, d]`` or ``[examples, T, C]``, in ``room`` where it is not that yet.

    NaN and infinities stay.

    Raises:
        InputError: another shape, kind or range; ``where`` says what it is.
        SetupError: ``room`` has none for them.
    """
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(
            f"vectors are [examples, numbers], windows [examples, steps, channels]: received shape={array.shape} as {where}; "
            "reshape them"
        )
    if array.dtype.kind not in "biuf":
        raise InputError(f"vectors hold numbers: received dtype={array.dtype} as {where}; convert them to float32")
    if array[0].size > MOST_NUMBERS:
        raise InputError(
            f"an example has at most {MOST_NUMBERS} numbers: received shape={array.shape} as {where}; cut or average them"
        )
    largest = max(_largest(array[piece]) for piece in pieces(array))
    if largest > LARGEST_NUMBER:
        raise InputError(f"numbers are at most {LARGEST_NUMBER:g}: received max={largest:g} as {where}; rescale them")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array
    values = room.empty(array.shape, np.float32)
    for piece in pieces(array):
        values[piece] = array[piece]
    return values


def _unknown(values: Float32Array) -> npt.NDArray[np.int64]:
    """Return how many numbers of each example are NaN or infinite."""
    counts: npt.NDArray[np.int64] = (~np.isfinite(values)).reshape(len(values), -1).sum(axis=1)
    return counts


def _largest(array: npt.NDArray[Any]) -> float:
    """Return the largest magnitude of the finite numbers, 0 where there is none."""
    return float(np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=0))
