"""From a file name to its table: which reader, how it is packed and how it is encoded."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from understudy.data.delimited import parse_csv, parse_tsv
from understudy.data.jsonl import parse_jsonl
from understudy.data.parquet import open_parquet
from understudy.data.table import Rows, Table, take_rows
from understudy.errors import InputError, SetupError

_PARSERS: dict[str, Callable[..., Table]] = {".csv": parse_csv, ".tsv": parse_tsv, ".jsonl": parse_jsonl}
_PARQUET = ".parquet"
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` ends as a table does."""
    name = Path(path).name.lower()
    return name.endswith(_PARQUET) or Path(name.removesuffix(".gz")).suffix in _PARSERS


def read_rows(path: str | os.PathLike[str], *, text: str, label: str | None) -> Rows:
    """Return the texts in column ``text`` of one data file and, unless ``label`` is None, the labels in column ``label``.

    Raises:
        InputError: a file, column or row that cannot be used.
        SetupError: the file may not be read, or its format needs an extra.
    """
    return take_rows(read_table(path), text=text, label=label)


def read_table(path: str | os.PathLike[str]) -> Table:
    """Return the table in ``path``: ``.csv``, ``.tsv``, ``.jsonl`` (each also ``.gz``) or ``.parquet``; at least one row.

    Raises:
        InputError: no such file, an unknown ending, a damaged or empty file.
        SetupError: the file may not be read, or its format needs an extra.
    """
    path = Path(path)
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if not is_table(path):
        if not path.exists():
            raise InputError(f"data are a file or a folder that exists: received path={str(path)!r}; check the path")
        raise InputError(
            f"a data file ends in .csv, .tsv, .jsonl (each also .gz) or .parquet: received file={str(path)!r}; convert or "
            "rename it, or give images or numbers as .npz, IDX file or folder of class folders"
        )
    check_is_file(path)
    table = open_parquet(path) if ending == _PARQUET else _PARSERS[ending](partial(_opened, path), path=path)
    if not len(table):
        raise InputError(
            f"a data file has at least one row beside its header: received rows=0 in file={str(path)!r}; "
            "check that it is the right file"
        )
    return table


def check_is_file(path: Path) -> None:
    """Raise ``InputError`` unless ``path`` is a file."""
    if not path.is_file():
        raise InputError(f"a data file exists and is a file: received file={str(path)!r}; check the path")


@contextmanager
def _opened(path: Path, newline: str) -> Iterator[TextIO]:
    """Open the file's text behind a byte order mark, bytes that are not UTF-8 as surrogate escapes."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise not_readable(path, error) from error
    packed = path.name.lower().endswith(".gz")
    with file, gzip.GzipFile(fileobj=file) if packed else file as content:
        try:
            mark = content.read(len(UTF8_MARK))
            if mark.startswith(UTF16_MARKS):
                raise InputError(
                    f"a data file is UTF-8: received file={str(path)!r} with a UTF-16 byte order mark; save it as UTF-8"
                )
            content.seek(len(UTF8_MARK) if mark == UTF8_MARK else 0)
            yield io.TextIOWrapper(content, "utf-8", "surrogateescape", newline=newline)
        except (OSError, EOFError, zlib.error) as error:
            if not packed:
                raise not_readable(path, error) from error
            raise damaged_gzip(path, error) from error


def damaged_gzip(path: Path, error: Exception) -> InputError:
    """Return the error of a ``.gz`` file that cannot be unpacked."""
    return InputError(f"a .gz file is a whole gzip file: received file={str(path)!r} ({error}); write it again")


def not_readable(path: Path, error: Exception) -> SetupError:
    """Return the error of a data file that the system does not let be read."""
    reason = getattr(error, "strerror", None) or error
    return SetupError(f"a data file can be read: received file={str(path)!r} ({reason}); check its permissions")
