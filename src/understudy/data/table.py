"""A data file as named columns of strings, and the rows of text and label that are taken from it.

Readers (``delimited.py``, ``jsonl.py``, ``parquet.py``) make a ``Table``; everything after them is the same for every format.
A table holds no cells: whoever asks for columns reads the file once more, so that a file may be larger than memory.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from understudy.errors import InputError

TEXT_NAMES = ("text", "utterance", "sentence", "query", "question", "message", "comment", "review")
"""Column names that are taken as the text when none is named."""
LABEL_NAMES = ("label", "intent", "class", "act", "category", "topic", "target", "sentiment")
"""Column names that are taken as the label when none is named."""

_LISTED_COLUMNS = 20
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
_ENDINGS = {",": ".csv", "\t": ".tsv"}
_SHOWN = 80


OpenText = Callable[[str], AbstractContextManager[TextIO]]
"""Opens a file's text from its beginning, without a byte order mark; the argument is what ``open`` calls ``newline``."""


@dataclass(frozen=True, eq=False)
class Table:
    """One data file that was read through and has no faults.

    Attributes:
        path: the file, as it was named.
        columns: column names in the file's order; for JSONL the keys of the first record.
        positions: where each record begins, counted from 1.
        position_name: what ``positions`` counts: ``line``, or ``row`` in a file without lines.
        read: column names to an iterator over the records, each the values of these columns; see ``rows``.
        separator: what stands between two fields of a line; None in a file without such.
        later_columns: keys that the first record of a JSONL file lacks, and the first of ``positions`` that has them.
    """

    path: Path
    columns: tuple[str, ...]
    positions: Sequence[int]
    position_name: str
    read: Callable[[Sequence[str]], Iterator[Sequence[str | None]]]
    separator: str | None = None
    later_columns: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, names: Sequence[str]) -> Iterator[Sequence[str | None]]:
        """Yield the values of the columns ``names`` of each record; None is a value that the file marks as missing.

        Raises:
            InputError: a value that is neither string nor number, or a file that became shorter since it was first read.
        """
        count = 0
        for count, row in enumerate(islice(self.read(names), len(self)), start=1):  # noqa: B007 - used behind the loop
            yield row
        if count < len(self):
            raise InputError(
                f"a data file stays as it is while it is read: received rows={count} of {len(self)} in "
                f"file={str(self.path)!r}; run this again when nothing writes to it"
            )

    def values(self, name: str) -> list[str | None]:
        """Return the values of the column ``name``, one a record; see ``rows``."""
        return [value for (value,) in self.rows([name])]

    def place(self, record: int) -> str:
        """Return where ``record`` (counted from 0) stands, for a message."""
        return f"{self.position_name}={self.positions[record]} of file={str(self.path)!r}"


@dataclass(frozen=True)
class Rows:
    """Texts of one file, in its order, and their labels.

    Attributes:
        texts: any bytes, decoded as UTF-8 with ``surrogateescape``.
        labels: one string a text, exactly as in the file; None when no label column was asked for.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None = None


def find_text_column(table: Table, name: str | None) -> str:
    """Return the text column: ``name``, or when that is None the only column with a usual name.

    Raises:
        InputError: no such column, or no unambiguous one.
    """
    return find_column(table, name, role="text", usual=TEXT_NAMES)


def find_label_column(table: Table, name: str | None) -> str:
    """Return the label column: ``name``, or when that is None the only column with a usual name.

    Raises:
        InputError: no such column, or no unambiguous one.
    """
    return find_column(table, name, role="label", usual=LABEL_NAMES)


def find_text_and_label(table: Table, text: str | None, label: str | None, *, in_job: bool = False) -> tuple[str, str]:
    """Return the text column and the label column, each named or guessed; ``in_job`` they may also be named in a job file.

    Raises:
        InputError: no such column, no unambiguous one, or the same for both.
    """
    found = (
        find_column(table, text, role="text", usual=TEXT_NAMES, in_job=in_job),
        find_column(table, label, role="label", usual=LABEL_NAMES, in_job=in_job),
    )
    if found[0] == found[1]:
        raise InputError(
            f"text and label are two columns: received text={found[0]!r} and label={found[1]!r} in file={str(table.path)!r}; "
            "name another one with --text or --label"
        )
    return found


def find_column(table: Table, name: str | None, *, role: str, usual: Sequence[str] = (), in_job: bool = False) -> str:
    """Return the column ``name``, or when that is None the only one with a ``usual`` name.

    ``role`` is the option that names it; ``in_job`` a job file may, too, and other columns may be read as numbers.

    Raises:
        InputError: no such column, or no unambiguous one.
    """
    found = [column for column in table.columns if column == name or (name is None and column.strip().lower() in usual)]
    if len(found) == 1:
        return found[0]
    check_separator(table.columns, table.separator, table.path)
    later = [column for column in table.later_columns if column == name or (name is None and column.strip().lower() in usual)]
    if later and not found:
        raise InputError(
            f"every record has the {role}: received no {later[0]!r} at {table.place(0)}, which "
            f"{table.position_name}={table.later_columns[later[0]]} has; add it or remove the line"
        )
    received = f"received {role}={name!r} and columns={_listed(table.columns)} in file={str(table.path)!r}"
    if name is None:
        raise InputError(
            f"the {role} column is guessed only when exactly one column has a usual name "
            f"({', '.join(usual)}): {received}; name it with --{role}"
            + (f" or data.{role}" if in_job else "")
            + (", or columns of numbers with --columns and their label with --label" if in_job and role == "text" else "")
        )
    if found:
        raise InputError(f"a column name occurs once: {received}; rename one of the columns")
    close = difflib.get_close_matches(name, table.columns, n=1, cutoff=0.7)
    step = f"did you mean {close[0]!r}?" if close else "name one of these columns"
    named = "every column of numbers that is read" if role == "columns" else f"the {role} column"
    raise InputError(f"{named} is a column of the file: {received}; {step}")


def take_rows(table: Table, *, text: str, label: str | None) -> Rows:
    """Return the texts and, when ``label`` is given, the labels of ``table``.

    Raises:
        InputError: no such column, no rows, a missing text or label, a label that is not valid UTF-8.
    """
    texts = _texts(table, find_text_column(table, text))
    labels = None if label is None else take_labels(table, find_label_column(table, label))
    return Rows(texts, labels)


def check_separator(columns: Sequence[str], separator: str | None, path: Path) -> None:
    """Raise ``InputError`` where a header is one column, because its names are separated by something else."""
    if separator is None or len(columns) != 1:
        return
    for other, name in _SEPARATORS.items():
        if other in columns[0] and other != separator:
            wanted, ending = _SEPARATORS[separator], _ENDINGS.get(other, _ENDINGS[separator])
            raise InputError(
                f"the fields of a {_ENDINGS[separator]} file are separated by {wanted}: received {name} in the header "
                f"{columns[0][:_SHOWN]!r} of file={str(path)!r}; save it with {wanted}"
                + (f", or rename it to {ending}" if ending != _ENDINGS[separator] else "")
            )


def take_labels(table: Table, column: str) -> tuple[str, ...]:
    """Return the labels in ``column``, one a row.

    Raises:
        InputError: a missing label, or one that is not valid UTF-8.
    """
    values: list[str] = []
    known: dict[str, str] = {}  # labels repeat: one string for all equal ones
    rows = enumerate(table.rows([column]))
    for record, (value,) in rows:
        if not value:
            more = sum(not other for _, (other,) in rows)
            raise InputError(
                f"every row has a label: received {column}={'null' if value is None else repr(value)} "
                f"at {table.place(record)}{f' and in {more} more rows' if more > 1 else ' and in 1 more row' if more else ''}; "
                "fill it in, move such rows to a file of unlabelled texts, or remove them"
            )
        if not is_unicode(value):
            raise InputError(
                f"a label is valid UTF-8: received {column}={value!r} at {table.place(record)}; save the file as UTF-8"
            )
        values.append(known.setdefault(value, value))
    return tuple(values)


def is_unicode(text: str) -> bool:
    """Return whether the bytes that ``text`` stands for are valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _texts(table: Table, column: str) -> tuple[str, ...]:
    values: list[str] = []
    for record, (value,) in enumerate(table.rows([column])):
        if value is None:
            raise InputError(
                f"every row has a text, which may be empty but not null: received {column}=null "
                f"at {table.place(record)}; remove the row or write an empty text"
            )
        values.append(value)
    return tuple(values)


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - _LISTED_COLUMNS
    shown = ", ".join(repr(column) for column in columns[:_LISTED_COLUMNS])
    return f"[{shown}, and {more} more]" if more > 0 else f"[{shown}]"
