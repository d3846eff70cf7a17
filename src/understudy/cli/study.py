"""``understudy study``: what a task needs, found by a few short trainings."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.columns import ColumnsOption, parse_columns
from understudy.cli.interruption import told_apart
from understudy.cli.output import JsonFlag, as_percent, print_json, print_table

if TYPE_CHECKING:
    from understudy.job import Job
    from understudy.neural_bits import NeuralBits

INTERRUPTED = 130
_JOB_FILE = ".toml"
_UNUSED_BUDGET = "1MB"
"""A job has a budget; a study uses none."""
_COLUMNS = ("bits", "learned", "validation", "test", "seconds")


class Subject(StrEnum):
    """What can be studied."""

    BITS = "bits"


def study(
    context: typer.Context,
    subject: Annotated[Subject, typer.Argument(metavar="bits", help="bits: accuracy against the bits of a projection, T * d.")],
    data_or_job: Annotated[
        Path, typer.Argument(metavar="DATA_OR_JOB", help="A data file, images or a job file, as for compress; no sounds.")
    ],
    bits: Annotated[
        list[int] | None, typer.Option(metavar="N", help="T * d to try; repeat it. Default: 16, 32, 64, ... 1024.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where it is written. Default: runs/NAME-bits.")] = None,
    family: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Show it in the report of this family too, such as runs/digits.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    columns: ColumnsOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures that cannot be used.")] = False,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Labelled examples for the figures.")] = None,
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="Labelled examples that choose.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of everything random.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find out how many neural bits a task needs.

    Each T * d gets one short training of a linear layer on so many bits of a projection, without a teacher; of sensor windows,
    of a recurrence on so many bits of each step.
    The picture stands in report.html. Ctrl-C keeps what is finished; the same command again goes on from there.
    """
    from understudy.cli.progress import open_progress
    from understudy.family import Family
    from understudy.report.page import write_report
    from understudy.study import BITS, study_bits

    shown_in = None if family is None else Family.load(family)
    job = _job(
        data_or_job,
        text=text,
        label=label,
        columns=parse_columns(columns),
        skip_bad=skip_bad or None,
        test=test,
        validation=validation,
        seed=seed,
    )
    folder = out or Path("runs") / f"{job.name}-{subject}"
    with told_apart(folder), open_progress(sys.stderr, silent=as_json) as progress:
        found = study_bits(
            job, out=folder, bits=bits or BITS, progress=progress, command=("understudy", *context.obj), shown_in=shown_in
        )
    if shown_in is not None and family is not None:
        run = family if family.is_dir() else family.parent
        found.save(run)
        write_report(shown_in, run)
    if as_json:
        where = {"out": str(folder), "report": str(folder / "report.html")}
        print_json({**where, "enough_bits": found.enough.bits, "study": found.model_dump(mode="json")})
    else:
        _print(found, folder)
    if not found.finished:
        raise typer.Exit(INTERRUPTED)


def _job(path: Path, **options: object) -> Job:
    from understudy.job import job_from_arguments, load_job

    if path.suffix.lower() == _JOB_FILE:
        return load_job(path, **options)
    return job_from_arguments(path, budgets=(_UNUSED_BUDGET,), **options)


def _print(found: NeuralBits, folder: Path) -> None:
    rows = [
        (
            str(point.bits),
            str(point.weight_count),
            as_percent(point.validation_accuracy),
            as_percent(point.accuracy),
            f"{point.seconds:.0f}",
        )
        for point in found.points
    ]
    print_table(_COLUMNS, rows, words=())
    if found.is_alone:
        typer.echo(f"{found.enough.bits} bits alone were tried: repeat --bits to compare")
    elif found.is_open:
        typer.echo(f"{found.enough.bits} bits are better than all fewer by more than a point: more may be better still")
    else:
        typer.echo(f"enough: {found.enough.bits} bits, within a point of the best on validation")
    if not found.finished:
        typer.echo("stopped early: these are finished; the same command again goes on from there", err=True)
    typer.echo(f"report: {folder / 'report.html'}")
