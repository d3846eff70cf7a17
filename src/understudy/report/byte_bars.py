"""Where the bytes of a member's files went, lined up so that formats can be compared."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.family import Member

COLORS = 8
"""Places with a colour of their own; the smaller ones share grey."""


@dataclass(frozen=True)
class Place:
    """One row: where bytes go, its style and its bytes in each format (0 where a format has no such row)."""

    where: str
    class_: str
    bytes: tuple[int, ...]


@dataclass(frozen=True)
class ByteBars:
    """The byte tables of one member.

    Attributes:
        formats: the columns.
        totals: bytes of each format.
        places: the rows, largest first.
    """

    formats: tuple[str, ...]
    totals: tuple[int, ...]
    places: tuple[Place, ...]


def byte_bars(member: Member) -> ByteBars | None:
    """Return the byte tables of ``member`` side by side, or None where there are none."""
    if not member.byte_table:
        return None
    tables: list[dict[str, int]] = []
    for rows in member.byte_table.values():
        table: dict[str, int] = {}
        for row in rows:
            table[row.where] = table.get(row.where, 0) + row.bytes
        tables.append(table)
    largest = {where: max(other.get(where, 0) for other in tables) for table in tables for where in table}
    places = sorted(largest, key=lambda where: (-largest[where], where))
    return ByteBars(
        formats=tuple(member.byte_table),
        totals=tuple(sum(table.values()) for table in tables),
        places=tuple(
            Place(where, f"s{index}" if index < COLORS else "rest", tuple(table.get(where, 0) for table in tables))
            for index, where in enumerate(places)
        ),
    )
