"""``understudy export``: more formats for a finished bundle."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.content import labelled_content
from understudy.cli.output import JsonFlag, as_microseconds, as_percent, on_one_line, print_json, print_table
from understudy.errors import InputError
from understudy.units import format_bytes

_COLUMNS = ("format", "file", "size", "accuracy", "agree", "latency", "runtime")


def export(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    format_names: Annotated[
        list[str] | None, typer.Option("--to", metavar="FORMAT", help="A format to add, as python or wasm; repeat it.")
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled examples to measure on; default: the family's test split."),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add formats to a finished bundle.

    Each new file is run in its own runtime, on the bundle's test vectors and the test split, and must reproduce the reference.
    Formats that the bundle holds already are left alone.
    """
    from understudy.additions import add_formats
    from understudy.bundle import Bundle
    from understudy.cli.progress import open_progress
    from understudy.formats import known_formats

    if not format_names:
        raise InputError(f"export needs a format: received none; add --to and one of {', '.join(known_formats())}")
    if test is None and (text is not None or label is not None):
        raise InputError(
            f"--text and --label name columns of a test file: received text={text!r}, label={label!r}; add --test FILE"
        )
    given = None if test is None else labelled_content(Bundle.open(bundle).manifest, test, text=text, label=label)
    with open_progress(sys.stderr, silent=as_json) as progress:
        added = add_formats(bundle, format_names, test=given, progress=progress)
    if as_json:
        files = [{**asdict(addition), "byte_table": dict(addition.byte_table)} for addition in added.additions]
        family = None if added.family is None else str(added.family)
        document = {"bundle": str(bundle), "files": files, "held": added.held, "digest": added.digest, "family": family}
        print_json({**document, "not_tested": added.not_tested})
        return
    if added.additions:
        cells = [
            (
                addition.format,
                addition.path,
                format_bytes(addition.size_bytes),
                as_percent(addition.accuracy),
                as_percent(addition.agreement),
                as_microseconds(addition.latency_us.median),
                addition.runtime,
            )
            for addition in added.additions
        ]
        print_table(_COLUMNS, cells, words=("format", "file", "runtime"))
    for addition in added.additions:
        if added.budget_bytes is not None and addition.size_bytes > added.budget_bytes:
            typer.echo(f"{addition.format}: {addition.size_bytes} bytes are more than the budget of {added.budget_bytes}")
    if added.held:
        typer.echo(f"held already: {', '.join(added.held)}")
    typer.echo(f"bundle: {bundle}, digest {added.digest[:12]}")
    if added.family:
        typer.echo(f"family: {added.family} and its report have the new files")
    if added.not_tested:
        typer.echo(f"not measured on the test split: {on_one_line(added.not_tested)}", err=True)
