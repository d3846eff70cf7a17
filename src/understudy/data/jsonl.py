"""JSON Lines: one object a line. Lines end at LF only; blank lines are no records.

Numbers and truth values become the string that stands in the file, so ``1`` and ``1.0`` stay two labels.
``null`` is a missing value.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from understudy.data.table import OpenText, Table
from understudy.errors import InputError
from understudy.projections.text import escape_surrogates


def parse_jsonl(open_text: OpenText, *, path: Path) -> Table:
    """Return the table in the text that ``open_text`` opens; its columns are the keys of the first record.

    Raises:
        InputError: a line that is not a JSON object; when a column is read, a record without it or with an array there.
    """
    # numbers are kept as written: turning them to int or float first would change labels; any control character is legal text
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)

    def records() -> Iterator[tuple[int, dict[str, object]]]:
        with open_text("\n") as text:
            for line, written in enumerate(text, start=1):
                stripped = written.strip(" \t\r\n")
                if stripped:
                    yield line, _record(decoder, stripped, line=line, path=path)

    def read(names: Sequence[str]) -> Iterator[list[str | None]]:
        return ([_value(record, name, line=line, path=path) for name in names] for line, record in records())

    lines = array("Q")
    columns: dict[str, object] = {}
    later: dict[str, int] = {}
    for line, record in records():
        columns = columns if lines else record
        lines.append(line)
        for key in record.keys() - columns.keys():
            later.setdefault(key, line)
    return Table(path=path, columns=tuple(columns), positions=lines, position_name="line", read=read, later_columns=later)


def _record(decoder: json.JSONDecoder, written: str, *, line: int, path: Path) -> dict[str, object]:
    try:
        record = decoder.decode(written)
    except json.JSONDecodeError as error:
        raise _not_an_object(f"{error.msg}, column {error.colno}", line=line, path=path) from error
    except RecursionError as error:
        raise _not_an_object("nested too deeply", line=line, path=path) from error
    if not isinstance(record, dict):
        raise _not_an_object("another kind of value", line=line, path=path)
    return record


def _not_an_object(reason: str, *, line: int, path: Path) -> InputError:
    return InputError(
        f"every line of a JSONL file is one JSON object: received line={line} of file={str(path)!r} ({reason}); "
        'write it as {"text": "...", "label": "..."}'
    )


def _value(record: dict[str, object], name: str, *, line: int, path: Path) -> str | None:
    value = record.get(name, record)  # no such key: an object, so it ends in the error below
    if isinstance(value, str):
        return value if value.isascii() else escape_surrogates(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return None
    received = "no such key" if name not in record else "an array or object"
    raise InputError(
        f"every record has a string or number under {name!r}: received {received} "
        f"at line={line} of file={str(path)!r}; add it or remove the line"
    )
