"""JSON Lines: one object a line. Lines end at LF only; blank lines are no records.

Numbers and truth values become the string that stands in the file, so ``1`` and ``1.0`` stay two labels.
``null`` is a missing value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from understudy.data.table import Table, escape_surrogates
from understudy.errors import InputError


def parse_jsonl(content: str, *, path: Path) -> Table:
    """Return the table in ``content``; its columns are the keys of the first record.

    Raises:
        InputError: a line that is not a JSON object; when a column is read, a record without it or with an array there.
    """
    # numbers are kept as written: turning them to int or float first would change labels; any control character is legal text
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
    records: list[dict[str, object]] = []
    lines: list[int] = []
    for line, written in enumerate(content.split("\n"), start=1):
        stripped = written.strip(" \t\r")
        if stripped:
            records.append(_record(decoder, stripped, line=line, path=path))
            lines.append(line)
    later: dict[str, int] = {}
    for line, record in zip(lines, records, strict=True):
        for key in record.keys() - records[0].keys():
            later.setdefault(key, line)
    return Table(
        path=path,
        columns=tuple(records[0]) if records else (),
        positions=lines,
        position_name="line",
        values=lambda name: _values(records, lines, name, path=path),
        later_columns=later,
    )


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


def _values(records: Sequence[dict[str, object]], lines: Sequence[int], name: str, *, path: Path) -> list[str | None]:
    out: list[str | None] = []
    for line, record in zip(lines, records, strict=True):
        value = record.get(name, record)  # no such key: an object, so it ends in the error below
        if isinstance(value, str):
            out.append(value if value.isascii() else escape_surrogates(value))
        elif isinstance(value, bool):
            out.append("true" if value else "false")
        elif value is None:
            out.append(None)
        else:
            received = "no such key" if name not in record else "an array or object"
            raise InputError(
                f"every record has a string or number under {name!r}: received {received} "
                f"at line={line} of file={str(path)!r}; add it or remove the line"
            )
    return out
