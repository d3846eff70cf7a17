"""Where the bytes of every file went, lined up so that formats and members can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from understudy.family import ByteRow, Family

COLORS = 8
"""Places with a colour of their own; the smaller ones share grey."""


@dataclass(frozen=True)
class Place:
    """One row: where bytes go, its style, and its bytes in each format, None where the format has no such row."""

    where: str
    class_: str
    bytes: tuple[int | None, ...]


@dataclass(frozen=True)
class ByteBars:
    """The byte tables of one member.

    Attributes:
        formats: the columns.
        totals: bytes of each format.
        places: the rows; largest first, in the same order and style for every member.
    """

    formats: tuple[str, ...]
    totals: tuple[int, ...]
    places: tuple[Place, ...]


def byte_bars(family: Family) -> dict[str, ByteBars]:
    """Return the path of each member that has byte tables to these tables side by side."""
    tables = {
        member.path: {name: _added_up(rows) for name, rows in member.byte_table.items()}
        for member in family.members
        if member.byte_table
    }
    largest: dict[str, int] = {}
    for formats in tables.values():
        for table in formats.values():
            for where, size in table.items():
                largest[where] = max(size, largest.get(where, 0))
    order = sorted(largest, key=lambda where: (-largest[where], where))
    styles = {where: f"s{index}" if index < COLORS else "rest" for index, where in enumerate(order)}
    return {
        path: ByteBars(
            formats=tuple(formats),
            totals=tuple(sum(table.values()) for table in formats.values()),
            places=tuple(
                Place(where, styles[where], tuple(table.get(where) for table in formats.values()))
                for where in order
                if any(where in table for table in formats.values())
            ),
        )
        for path, formats in tables.items()
    }


def _added_up(rows: Iterable[ByteRow]) -> dict[str, int]:
    table: dict[str, int] = {}
    for row in rows:
        table[row.where] = table.get(row.where, 0) + row.bytes
    return table
