"""Tables of numbers: a row is an example, its numbers stand in columns of their own, and its label in one more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from understudy.data.read import is_table, read_table
from understudy.data.room import TEMPORARY, Room, pieces
from understudy.data.table import LABEL_NAMES, TEXT_NAMES, Table, find_column, find_label_column, is_unicode, take_labels
from understudy.data.vector_arrays import LARGEST_NUMBER, Float32Array, Vectors, as_numbers, read_numbers
from understudy.errors import InputError

_TRUTH = {"true": 1.0, "false": 0.0}
"""How Parquet, JSON and pandas write what is true or not, in small letters."""
_OTHER_COLUMNS = ", or name the columns to read with --columns"


def holds_numbers(path: Path, *, label: str | None) -> bool:
    """Return whether the table ``path`` has no column with a usual name of texts, and numbers beside labels in its first row.

    Raises:
        InputError: the table cannot be read.
        SetupError: the same.
    """
    table = read_table(path)
    names = [name for name in table.columns if name != label and name.strip()]
    if label is None:
        names = [name for name in names if name.strip().lower() not in LABEL_NAMES]
    if not names or any(name.strip().lower() in TEXT_NAMES for name in table.columns):
        return False
    try:
        first = next(table.rows(names))
    except InputError:  # a column of lists: no number, and no matter where it is not read
        return False
    return any(first) and all(not value or _as_number(value) is not None for value in first)


def read_number_table(path: Path, columns: Sequence[str] | None, *, label: str | None, room: Room = TEMPORARY) -> Vectors:
    """Return the examples and labels of the table ``path``.

    Args:
        path: a table, as ``read_table`` takes it.
        columns: those with the numbers, in the order of a vector; None takes all but the label and those without a name.
        label: the column with the labels; None is the only one with a usual name.
        room: where the numbers stand.

    Raises:
        InputError: no such table or column, a name that occurs twice, a cell without a finite number, a row without a label.
        SetupError: the file may not be read, its format needs an extra, or ``room`` has none for the numbers.
    """
    table = read_table(path)
    label = find_label_column(table, label)
    hint = _OTHER_COLUMNS if columns is None else ""
    if columns is None:
        columns = [name for name in table.columns if name != label and name.strip()]
    if not columns or len(set(columns)) < len(columns) or label in columns:
        raise InputError(
            f"numbers stand in columns beside the label, each with a name of its own: received columns={list(columns)} and "
            f"label={label!r} in file={str(path)!r}; name the columns with --columns, the label with --label"
        )
    return Vectors(_rows(table, columns, finite=True, hint=hint, room=room), take_labels(table, label), tuple(columns))


def read_examples(path: Path, shape: tuple[int, ...], columns: Sequence[str] | None) -> Float32Array:
    """Return examples of ``shape`` to predict, from a table, an NPZ or an NPY; NaN and infinities are allowed.

    Args:
        path: a table that has ``columns``, others beside them; or what ``read_numbers`` takes.
        shape: of an example.
        columns: names of a vector's numbers, None where they have none.

    Raises:
        InputError: a file, array, column or cell that cannot be used.
        SetupError: the file may not be read, or its format needs an extra.
    """
    if not is_table(path):
        return read_numbers(path, shape)
    return _rows(read_table(path), named(columns, path), finite=False)


def named(columns: Sequence[str] | None, path: Path) -> Sequence[str]:
    """Return ``columns``.

    Raises:
        InputError: a model has no names for its numbers, so that nothing can be taken from the table ``path``.
    """
    if columns is None:
        raise InputError(
            "a table is read by the names of its columns: received a model that was made from arrays, which have none, and "
            f"file={str(path)!r}; give .npy or .npz"
        )
    return columns


def _rows(table: Table, columns: Sequence[str], *, finite: bool, hint: str = "", room: Room = TEMPORARY) -> Float32Array:
    """Return the numbers of ``table``, float32 ``[rows, columns]``; ``hint`` is one more way out of a cell without one."""
    found = [find_column(table, name, role="columns") for name in columns]
    for name in found:
        if not is_unicode(name):
            raise InputError(
                f"a column of numbers has a name in UTF-8: received {name!r} in file={str(table.path)!r}; save it as UTF-8"
            )
    values = room.empty((len(table), len(found)), np.float32)
    rows = table.rows(found)
    for piece in pieces(values):
        numbers = np.empty((piece.stop - piece.start, len(found)))
        for record, row in enumerate(islice(rows, len(numbers)), start=piece.start):
            numbers[record - piece.start] = [
                _number(value, table, record, name, finite=finite, hint=hint) for name, value in zip(found, row, strict=True)
            ]
        values[piece] = as_numbers(numbers, f"columns of file={str(table.path)!r}")
    return values


def _number(value: str | None, table: Table, record: int, column: str, *, finite: bool, hint: str) -> float:
    number = _as_number(value)
    if number is None:
        raise InputError(
            f"a column of numbers has one in every row: received {column}={'null' if value is None else repr(value)} at "
            f"{table.place(record)}; fill it in or remove the row{hint}"
        )
    if finite and not abs(number) <= LARGEST_NUMBER:
        raise InputError(
            f"numbers to learn from are finite, at most {LARGEST_NUMBER:g}: received {column}={value!r} at "
            f"{table.place(record)}; replace it or remove the row"
        )
    return number


def _as_number(value: str | None) -> float | None:
    """Return the number that ``value`` is written as, None where it is none."""
    written = (value or "").strip()
    try:
        # Python takes 1_000 for a thousand, which no other reader does
        return None if "_" in written else float(written)
    except ValueError:
        return _TRUTH.get(written.lower())
