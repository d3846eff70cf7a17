"""Texts that stand in no table: one a line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Final

from understudy.data.read import UTF8_MARK, UTF16_MARKS, check_is_file, damaged_gzip, not_readable
from understudy.errors import InputError

_NO_LINES: Final = {".xlsx", ".xls", ".ods", ".json", ".npz", ".npy", ".zip", ".docx", ".pdf", ".png", ".jpg", ".jpeg", ".wav"}


def are_lines(path: Path) -> bool:
    """Return whether ``path`` ends as a file of lines does: ``.txt``, also ``.gz``."""
    return path.name.lower().removesuffix(".gz").endswith(".txt")


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the texts in ``path``, which is unpacked where it ends in ``.gz``; see ``lines_of``.

    Raises:
        InputError: no such file, one that is known to hold something else, not UTF-8, or a damaged ``.gz``.
        SetupError: the file may not be read.
    """
    name = path.name.lower()
    if Path(name.removesuffix(".gz")).suffix in _NO_LINES:
        raise InputError(
            f"texts stand in a file with one a line, or in .csv, .tsv, .jsonl (each also .gz) or .parquet: received "
            f"file={str(path)!r}; convert it"
        )
    check_is_file(path)
    try:
        content = path.read_bytes()
        return lines_of(gzip.decompress(content) if name.endswith(".gz") else content, source=f"file={str(path)!r}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged_gzip(path, error) from error
    except OSError as error:
        raise not_readable(path, error) from error


def lines_of(content: bytes, *, source: str) -> tuple[str, ...]:
    """Return the texts of ``content``, bytes that are not UTF-8 as surrogate escapes.

    A byte order mark is none of them; an empty line is an empty text; a last line feed ends the last text.

    Raises:
        InputError: UTF-16, by its mark and its many zeros, for any bytes may be a text; ``source`` is where it came from.
    """
    if content.startswith(UTF16_MARKS) and 4 * content.count(0) > len(content):
        raise InputError(f"texts are UTF-8: received {source} with a UTF-16 byte order mark; save it as UTF-8")
    lines = content.removeprefix(UTF8_MARK).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return tuple(line.removesuffix(b"\r").decode("utf-8", "surrogateescape") for line in lines)
