"""How the verbs print: one JSON document, or a table that is drawn on a terminal and aligned text elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TextIO

import typer

from understudy.units import format_microseconds

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_reserved: list[TextIO | int] = []
"""Where documents go while standard output is reserved for them: a descriptor, or a stream that has none."""


@contextlib.contextmanager
def only_documents_to_stdout() -> Iterator[None]:
    """Send to standard error what else is printed: a teacher's ``print`` must not stand in the middle of a document.

    The descriptor is redirected too, because libraries and child processes write to it without asking Python.
    """
    own = sys.stdout
    with contextlib.ExitStack() as undo:
        try:
            own.flush()
            descriptor, kept = own.fileno(), os.dup(own.fileno())
        except (AttributeError, OSError, ValueError):  # a stream in memory, or none
            _reserved.append(own)
        else:
            undo.callback(os.close, kept)
            os.dup2(_standard_error(), descriptor)
            undo.callback(os.dup2, kept, descriptor)
            _reserved.append(kept)
        undo.callback(_reserved.pop)
        undo.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


def _standard_error() -> int:
    """Return its descriptor; where that is closed, one that leads nowhere."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return os.open(os.devnull, os.O_WRONLY)


def _reserve(context: typer.Context, as_json: bool) -> bool:
    if as_json:
        context.with_resource(only_documents_to_stdout())
    return as_json


JsonFlag = Annotated[bool, typer.Option("--json", callback=_reserve, help="Print one JSON document instead of text.")]
"""The option that every verb has."""


def print_json(document: Any) -> None:
    """Print ``document`` as JSON in ASCII, which every terminal and pipe can hold."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    target = _reserved[-1] if _reserved else sys.stdout
    if not isinstance(target, int):
        target.write(text)
        return
    content = text.encode("ascii")
    while content:  # a pipe takes a part at a time
        content = content[os.write(target, content) :]


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
