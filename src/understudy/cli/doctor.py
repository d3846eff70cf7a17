"""``understudy doctor``: what is installed, what works with it, and how to get the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from understudy.cli.output import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from understudy.environment import Ability


def doctor(as_json: JsonFlag = False) -> None:
    """Say what is installed and what works with it.

    For what is missing it says the command that installs it.
    """
    from understudy.environment import inspect_environment

    found = inspect_environment()
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(f"understudy {found.understudy}, Python {found.python}, {found.system}, {found.cpu_count} cores\n")
    columns = ("package", "version", "part of")
    packages = [
        (package.name, package.version or "not installed", f"extra {package.extra}" if package.extra else "every installation")
        for package in found.packages
    ]
    print_table(columns, packages, words=columns)
    for title, abilities in (
        ("format", found.formats),
        ("teacher", found.teachers),
        ("data file", found.inputs),
        ("target", found.targets),
        ("trains on", found.processors),
    ):
        typer.echo()
        _print_abilities(title, abilities)


def _print_abilities(title: str, abilities: Sequence[Ability]) -> None:
    rows = [(a.name, "yes" if a.available else "no", a.how + (f"; {a.install}" if a.install else "")) for a in abilities]
    columns = (title, "available", "with")
    print_table(columns, rows, words=columns)
