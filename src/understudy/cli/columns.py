"""The option ``--columns``, which several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="NAMES", help="Columns of numbers of a table, as width,height; default: all but the label."
    ),
]


def parse_columns(given: list[str] | None) -> tuple[str, ...] | None:
    """Return the names in ``given``, each a list with commas; a name that holds a comma can stand in a job file."""
    return None if given is None else tuple(name.strip() for names in given for name in names.split(","))
