"""``understudy init``: a commented job file for a data file or a folder of images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.columns import ColumnsOption, parse_columns
from understudy.cli.output import JsonFlag, print_json


def init(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A table (CSV, TSV, JSONL, Parquet), images (NPZ, IDX, folder), vectors (table, NPZ), WAV files in "
            "class folders.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The job file to write; it must not exist.")] = Path("job.toml"),
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    columns: ColumnsOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures or recordings that cannot be used.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a commented job file for texts, images, sounds, vectors or windows.

    It holds every setting, with what the data suggests for it.
    """
    from understudy.job_template import write_job_template

    written = write_job_template(data, out, text=text, label=label, columns=parse_columns(columns), skip_bad=skip_bad)
    if as_json:
        print_json({"written": [str(written)]})
        return
    typer.echo(f"wrote {written}; run it with: understudy compress {shlex.quote(str(written))}")
