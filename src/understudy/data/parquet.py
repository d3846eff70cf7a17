"""Parquet files, read with pyarrow (extra ``parquet``). Only the columns that are asked for are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy.data.table import Table
from understudy.errors import InputError, missing_extra

_ROWS_TOGETHER = 8192


def open_parquet(path: Path) -> Table:
    """Return the table in ``path``. Strings and binary values may hold any bytes; numbers become strings.

    Raises:
        InputError: not a Parquet file; when a column is read: one of lists, structs or maps.
        SetupError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise missing_extra(purpose="reading Parquet files", extra="parquet") from error

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    schema, rows = file.schema_arrow, file.metadata.num_rows

    def read(names: Sequence[str]) -> Iterator[Sequence[str | None]]:
        try:
            for batch in file.iter_batches(_ROWS_TOGETHER, columns=list(names), use_threads=False):
                # asking for "a" also reads "a.b", so each column is taken by its name from what came
                yield from zip(*(_strings(batch.column(name), name, path=path) for name in names), strict=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a date may be one that Python has not
            raise _unreadable(path, error) from error

    return Table(path=path, columns=tuple(schema.names), positions=range(1, rows + 1), position_name="row", read=read)


def _strings(column: Any, name: str, *, path: Path) -> list[str | None]:
    """Return the values of a pyarrow column as strings, None where it is null."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_nested(kind):
        raise InputError(
            f"a column of text or labels holds strings or numbers: received {name}={str(kind)!r} "
            f"in file={str(path)!r}; flatten the column"
        )
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.large_binary())  # pyarrow refuses to turn invalid UTF-8 into str
    return [value if value is None else _string(value) for value in column.to_pylist()]


def _string(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"a .parquet file is a whole Parquet file: received file={str(path)!r} ({reason}); write it again")
