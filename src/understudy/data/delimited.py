"""CSV and TSV files.

CSV follows RFC 4180 with a header: fields in double quotes may hold commas, line breaks and doubled quotes. A row ends at LF,
CRLF or a lone CR. TSV is never quoted: a record is what stands between two LF (one CR before it is dropped), a field what
stands between two tabs; quotes are characters like any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from understudy.data.table import Table, check_separator
from understudy.errors import InputError

_FIELD_LIMIT = 2**31 - 1


def parse_csv(content: str, *, path: Path) -> Table:
    """Return the table in ``content``.

    Raises:
        InputError: a quote that is not closed or followed by more text, a row with more or fewer fields than the header.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1
    with _unlimited_fields():
        try:
            for row in reader:
                rows.append(row)
                lines.append(line)
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"a CSV file follows RFC 4180: received the row that begins at line={line} of file={str(path)!r} ({error}); "
                "close every quote and double the quotes inside quoted fields"
            ) from error
    return _table(rows, lines, path=path, separator=",", hint="put fields that hold commas in double quotes")


def parse_tsv(content: str, *, path: Path) -> Table:
    """Return the table in ``content``.

    Raises:
        InputError: a row with more or fewer fields than the header.
    """
    records = content.split("\n")
    if not records[-1]:
        records.pop()
    rows = [record.split("\t") if record else [] for record in (record.removesuffix("\r") for record in records)]
    hint = "a field in a TSV file holds no tab and no line break"
    return _table(rows, list(range(1, len(rows) + 1)), path=path, separator="\t", hint=hint)


def _table(rows: list[list[str]], lines: list[int], *, path: Path, separator: str, hint: str) -> Table:
    """Return the table whose header is the first of ``rows``; ``[]`` stands for an empty line."""
    columns = tuple(rows[0]) if rows else ()
    width = len(columns)
    if width == 1:
        rows = [row or [""] for row in rows]  # in one column an empty line is an empty text
    kept = [record for record in range(1, len(rows)) if rows[record]]  # in more columns no record is an empty line
    for record in kept:
        if len(rows[record]) != width:
            check_separator(columns, separator, path)
            raise InputError(
                f"every row has as many fields as the header: received fields={len(rows[record])} and columns={width} "
                f"at line={lines[record]} of file={str(path)!r}; {hint}"
            )
    return Table(
        path=path,
        columns=columns,
        positions=[lines[record] for record in kept],
        position_name="line",
        values=lambda name: [rows[record][columns.index(name)] for record in kept],
        separator=separator,
    )


@contextmanager
def _unlimited_fields() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field, which is global, for the time of one file."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
