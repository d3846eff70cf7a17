"""How the verbs print: one JSON document, or a table that is drawn on a terminal and aligned text elsewhere."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from understudy.units import format_microseconds

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
"""The option that every verb has."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def print_json(document: Any) -> None:
    """Print ``document`` as JSON in ASCII, which every terminal and pipe can hold."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def on_one_line(text: str) -> str:
    r"""Return ``text`` without control characters: backslash as ``\\``, the usual ones as in C, the rest ``\xNN``."""
    return without_line_breaks(text.replace("\\", "\\\\"))


def without_line_breaks(sentence: str) -> str:
    r"""Return ``sentence`` without control characters; its names are quoted with their escapes, so a backslash stays one."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), sentence)


def is_rich_terminal(stream: Any) -> bool:
    """Return whether ``stream`` is a terminal that may be drawn on."""
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[str]) -> None:
    """Print ``rows`` of cells under ``columns``; those named in ``words`` are aligned left, the others, numbers, right."""
    is_words = [column in words for column in columns]
    if is_rich_terminal(sys.stdout):
        _draw_table(columns, rows, is_words)
        return
    lines = [list(columns), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = [
            cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(line, widths, is_words, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


def _draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], is_words: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, left in zip(columns, is_words, strict=True):
        table.add_column(column, justify="left" if left else "right", no_wrap=not left, overflow="fold", min_width=len(column))
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)


def as_percent(fraction: float | None) -> str:
    """Return ``fraction`` for a table: ``93.4 %``, or a dash when there is none."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def as_points(fraction: float | None) -> str:
    """Return a difference of fractions in points for a table: ``+0.4``, or a dash when there is none."""
    return "-" if fraction is None else f"{100 * fraction:+.1f}"


def as_microseconds(value: float | None) -> str:
    """Return microseconds for a table: ``85 us``, ``1.24 ms``, or a dash when there are none."""
    return "-" if value is None else format_microseconds(value)
