"""CSV and TSV files.

CSV follows RFC 4180 with a header: fields in double quotes may hold commas, line breaks and doubled quotes. A row ends at LF,
CRLF or a lone CR. TSV is never quoted: a record is what stands between two LF (one CR before it is dropped), a field what
stands between two tabs; quotes are characters like any other.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from understudy.data.table import OpenText, Table, check_separator
from understudy.errors import InputError

Records = Iterator[tuple[int, list[str]]]
"""The line at which each record begins, from 1, and its fields; ``[]`` stands for an empty line."""

_FIELD_LIMIT = 2**31 - 1
_RECORDS_TOGETHER = 1024


def parse_csv(open_text: OpenText, *, path: Path) -> Table:
    """Return the table in the text that ``open_text`` opens.

    Raises:
        InputError: a quote that is not closed or followed by more text, a row with more or fewer fields than the header.
    """

    def records() -> Records:
        line, header = 1, None
        with open_text("") as text:
            reader = csv.reader(text, strict=True)
            block: Sequence[tuple[int, list[str]]] = ((line, []),)
            while block:
                block = []
                try:
                    with _unlimited_fields():
                        for row in islice(reader, _RECORDS_TOGETHER):
                            header = header or row
                            block.append((line, row))
                            line = reader.line_num + 1
                except csv.Error as error:
                    check_separator(header or (), ",", path)  # with another one quotes stand where these may not
                    raise InputError(
                        f"a CSV file follows RFC 4180: received the row that begins at line={line} of file={str(path)!r} "
                        f"({error}); close every quote and double the quotes inside quoted fields"
                    ) from error
                yield from block

    return _table(records, path=path, separator=",", hint="put fields that hold commas in double quotes")


def parse_tsv(open_text: OpenText, *, path: Path) -> Table:
    """Return the table in the text that ``open_text`` opens.

    Raises:
        InputError: a row with more or fewer fields than the header.
    """

    def records() -> Records:
        with open_text("\n") as text:
            for line, written in enumerate(text, start=1):
                record = written.removesuffix("\n").removesuffix("\r")
                yield line, record.split("\t") if record else []

    return _table(records, path=path, separator="\t", hint="a field in a TSV file holds no tab and no line break")


def _table(records: Callable[[], Records], *, path: Path, separator: str, hint: str) -> Table:
    """Return the table whose header is the first of ``records``."""
    columns = tuple(next(records(), (1, []))[1])
    width = len(columns)

    def kept() -> Records:
        for line, fields in islice(records(), 1, None):
            if fields or width == 1:  # in one column an empty line is an empty text, in more columns it is no record
                yield line, fields or [""]

    lines = array("Q")
    for line, fields in kept():
        if len(fields) != width:
            check_separator(columns, separator, path)
            raise InputError(
                f"every row has as many fields as the header: received fields={len(fields)} and columns={width} "
                f"at line={line} of file={str(path)!r}; {hint}"
            )
        lines.append(line)

    def read(names: Sequence[str]) -> Iterator[list[str]]:
        places = [columns.index(name) for name in names]
        return ([fields[place] for place in places] for _, fields in kept())

    return Table(path=path, columns=columns, positions=lines, position_name="line", read=read, separator=separator)


@contextmanager
def _unlimited_fields() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field, which is global, for the time of one file."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
