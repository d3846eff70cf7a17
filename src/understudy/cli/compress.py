"""``understudy compress``: data and budgets in, a family of verified files out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from understudy.cli.columns import ColumnsOption, parse_columns
from understudy.cli.interruption import told_apart
from understudy.cli.output import JsonFlag, print_json, without_line_breaks
from understudy.cli.summary import missed_latencies, print_family, print_infeasible
from understudy.errors import InputError
from understudy.formats import FORMATS

if TYPE_CHECKING:
    from understudy.job import Job

INFEASIBLE = 3
INTERRUPTED = 130
_JOB_FILE = ".toml"


def compress(
    context: typer.Context,
    data_or_job: Annotated[
        Path,
        typer.Argument(
            metavar="DATA_OR_JOB",
            help="A data file (CSV, TSV, JSONL, Parquet), images (NPZ, IDX, folder of class folders), vectors (table, NPZ), "
            "WAV files in class folders, or a job file.",
        ),
    ],
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="SIZE", help="A size that every file must keep to, as 32KB, or a share of a network; repeatable."),
    ] = None,
    keep: Annotated[
        list[float] | None,
        typer.Option(metavar="FRACTION", help="Share of the network's weights that stays: 0.4 is --budget 40%. For pruned."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A device of 'understudy devices' or a profile (.toml): its flash, RAM and formats."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where everything is written. Default: runs/NAME.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model, also in the C function. Default: the file's.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    columns: ColumnsOption = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled texts for the final figures; influence nothing.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled texts that choose between students.")
    ] = None,
    unlabelled: Annotated[Path | None, typer.Option(metavar="FILE", help="More texts, on which the teacher is asked.")] = None,
    out_of_scope: Annotated[Path | None, typer.Option(metavar="FILE", help="Texts of no class, for the report.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="auto, none, a model file (.onnx, .tflite, .pt2, .keras, .h5), logits, module:name or file.py:name.",
        ),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto; for texts projection_sequence, projection_net, sgnn; for images plain_cnn, separable_cnn, "
            "projection_net, projection_cnn, pruned; for windows and sounds separable_cnn, projection_rnn; "
            "for vectors mlp, projection_net.",
        ),
    ] = None,
    format_names: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}; repeat it. Default: the first three, "
            "for projection_rnn onnx and c.",
        ),
    ] = None,
    encrypt: Annotated[
        list[Path] | None,
        typer.Option(metavar="DEVICE.pub", help="Write bundles that only this device can read; repeat it for more devices."),
    ] = None,
    time: Annotated[str | None, typer.Option(metavar="DURATION", help="Time for all trainings of students, as 5m.")] = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials of the search for each budget.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of everything random.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Largest loss of accuracy against the teacher, as 0.01.")
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Most multiply-accumulates of one prediction, as 10M.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="image, vector or text: what an NPZ or a table holds; told by what is in it."),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Most time of one prediction by every file, as 2ms (here) or 2ms@cortex-m4."),
    ] = None,
    qat: Annotated[
        bool | None,
        typer.Option("--qat/--ptq", help="Train with rounded weights at the end, or round after training. Default: --qat."),
    ] = None,
    max_quantization_drop: Annotated[
        float | None,
        typer.Option(metavar="FRACTION", help="Loss of accuracy against the float student that starts the cures, as 0.01."),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Pictures of a folder: what all are brought to, as 96 or 48x64 (height x width)."),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures or recordings that cannot be used.")] = False,
    show_examples: Annotated[
        int | None,
        typer.Option(metavar="N", help="Test texts in the report of each pair of labels most often confused. Default: none."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the job and the data; train and write nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make small classifiers, one for each budget and device, and verify every file.

    Options win over the job file. Ctrl-C keeps the best so far; the same command again goes on from there.
    """
    job = _job(
        data_or_job,
        budgets=(*(budget or ()), *(_as_budget(share) for share in keep or ())) or None,
        devices=tuple(device) if device else None,
        formats=tuple(format_names) if format_names else None,
        encrypt=tuple(encrypt) if encrypt else None,
        name=name,
        text=text,
        label=label,
        columns=parse_columns(columns),
        test=test,
        validation=validation,
        unlabelled=unlabelled,
        out_of_scope=out_of_scope,
        kind=kind,
        skip_bad=skip_bad or None,
        image_size=image_size,
        show_examples=show_examples,
        teacher=teacher,
        student=student,
        time=time,
        trials=trials,
        seed=seed,
        max_drop=max_drop,
        max_macs=max_macs,
        max_latency=max_latency,
        quantization=None if qat is None else "qat" if qat else "ptq",
        max_quantization_drop=max_quantization_drop,
    )
    if format_names and not job.budgets:
        typer.echo("warning: --format is for budgets; the files of a device have the formats of its profile", err=True)
    folder = out or Path("runs") / job.name
    if dry_run:
        with told_apart(folder):
            _print_plan(job, folder, as_json=as_json)
        return
    from understudy.cli.progress import open_progress
    from understudy.pipeline import run_job

    with told_apart(folder), open_progress(sys.stderr, silent=as_json) as progress:
        family = run_job(job, out=folder, progress=progress, command=("understudy", *context.obj))
    if as_json:
        print_json(
            {
                "out": str(folder),
                "report": str(folder / "report.html"),
                "over_max_drop": [member.budget for member in family.over_max_drop()],
                "family": family.model_dump(mode="json"),
            }
        )
    else:
        print_family(family, folder)
    if not family.finished:
        raise typer.Exit(INTERRUPTED)
    if family.infeasible or missed_latencies(family) or family.over_max_drop():
        raise typer.Exit(INFEASIBLE)


def _job(path: Path, **options: Any) -> Job:
    from understudy.job import job_from_arguments, load_job

    return (load_job if path.suffix.lower() == _JOB_FILE else job_from_arguments)(path, **options)


def _as_budget(share: float) -> str:
    """Return ``share`` of ``--keep`` as a budget."""
    if not 0 < share < 1:
        raise InputError(f"a share of a network is more than 0 and less than 1: received keep={share:g}; write --keep 0.4")
    return f"{100 * share:.10g}%"


def _print_plan(job: Job, folder: Path, *, as_json: bool) -> None:
    """Print what the job would do: its data, every setting, the budgets it can meet, and what it would write."""
    from understudy.bundle.encrypted import read_recipients
    from understudy.cli.progress import open_progress
    from understudy.environment import check_processor
    from understudy.feasibility import check_budgets
    from understudy.pipeline import read_data
    from understudy.progress import SilentProgress

    if job.encrypt:
        read_recipients(job.encrypt)
    check_processor(job.training.processor)
    data = read_data(job, out=folder, progress=SilentProgress())
    network = None
    if job.teacher.kind not in ("auto", "none"):
        from understudy.production import brought_teacher
        from understudy.teaching import network_to_prune

        teacher = brought_teacher(job, data, None, progress=SilentProgress())
        network = network_to_prune(teacher, data) if job.student == "pruned" else None
    with open_progress(sys.stderr, silent=as_json) as progress:
        budgets = check_budgets(job, data, network=network, progress=progress)
    from understudy.training.processor import processor_for  # torch, which what breaks a rule need not wait for

    processor = processor_for(job.training.processor, job.training.precision)
    settings = job.model_dump(mode="json")
    formats = {budget.name: budget.formats for budget in budgets.reachable}
    others = [str(folder / name) for name in ("family.json", "report.html")]
    if as_json:
        print_json(
            {
                "dry_run": True,
                "job": settings,
                "data": asdict(data.statistics),
                "data_digest": data.digest,
                "trains_on": processor.explain(),
                "infeasible": [missed.model_dump(mode="json") for missed in budgets.infeasible],
                "formats": formats,
                "writes": [*(str(folder / name) for name in formats), *others],
            }
        )
    else:
        _print_section("data", map(without_line_breaks, data.statistics.lines()))
        _print_section("job", (f"{key} = {json.dumps(value)}" for key, value in _flat(settings)))
        _print_section("training on", [processor.explain()])
        _print_section("would write", [*(f"{folder / name}: {', '.join(each)}" for name, each in formats.items()), *others])
        print_infeasible(budgets.infeasible)
    if budgets.infeasible:
        raise typer.Exit(INFEASIBLE)


def _print_section(title: str, lines: Iterable[str]) -> None:
    typer.echo(title)
    for line in lines:
        typer.echo(f"  {line}")


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
