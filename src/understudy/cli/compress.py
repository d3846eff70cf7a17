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
from understudy.cli.output import (
    JsonFlag,
    as_microseconds,
    as_percent,
    as_points,
    on_one_line,
    print_json,
    print_table,
    without_line_breaks,
)
from understudy.errors import InputError
from understudy.formats import FORMATS, LIMIT_WORDS
from understudy.units import format_bytes, format_macs

if TYPE_CHECKING:
    from understudy.family import Family, FileRecord, Infeasible, LatencyCheck, Member
    from understudy.job import Job

INFEASIBLE = 3
INTERRUPTED = 130
_JOB_FILE = ".toml"
_COLUMNS = ("budget", "student", "format", "size", "accuracy", "agree", "latency", "twin", "gain")


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
            metavar="SOURCE", help="auto, none, a model file (.onnx, .tflite, .pt2, .keras, .h5), logits, or module:name."
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
        _print_family(family, folder)
    if not family.finished:
        raise typer.Exit(INTERRUPTED)
    if family.infeasible or _missed(family) or family.over_max_drop():
        raise typer.Exit(INFEASIBLE)


def _missed(family: Family) -> list[tuple[Member, LatencyCheck]]:
    """Return the files that take longer than ``--max-latency``."""
    return [(member, check) for member in family.members for check in member.latency_checks if not check.is_met]


def _job(path: Path, **options: Any) -> Job:
    from understudy.job import job_from_arguments, load_job

    return (load_job if path.suffix.lower() == _JOB_FILE else job_from_arguments)(path, **options)


def _as_budget(share: float) -> str:
    """Return ``share`` of ``--keep`` as a budget."""
    if not 0 < share < 1:
        raise InputError(f"a share of a network is more than 0 and less than 1: received keep={share:g}; write --keep 0.4")
    return f"{100 * share:.10g}%"


def _print_family(family: Family, folder: Path) -> None:
    from understudy.job_folder import JobFolder

    print_table(_COLUMNS, [row for member in family.members for row in _rows(member)], words=_COLUMNS[:3])
    if any(member.twin for member in family.members):
        typer.echo("twin: accuracy of the same student, without the teacher; gain: points that the teacher bought")
    for member in family.members:
        if member.passed_over is not None:
            typer.echo(
                f"{member.budget}: the twin is delivered, which is better on validation than the student with the teacher"
            )
    _print_pruning(family)
    _print_islands(family)
    _print_quantization(family)
    teacher = family.teacher
    if teacher is None:
        typer.echo("teacher: none")
    else:
        unused = "" if teacher.used else f", not used: {on_one_line(teacher.note)}"
        typer.echo(f"teacher: {on_one_line(teacher.name)}, accuracy {as_percent(teacher.accuracy)}{unused}")
    for baseline in family.baselines:
        typer.echo(f"baseline: {baseline.name}, accuracy {as_percent(baseline.accuracy)}")
    _print_devices(family)
    _print_infeasible(family.infeasible)
    for member, check in _missed(family):
        about = "" if check.measured else "about "
        typer.echo(
            f"{member.budget} misses max_latency: its {check.format} file takes {about}{as_microseconds(check.latency_us)} on "
            f"{check.target}, at most {as_microseconds(check.limit_us)} were asked for (estimated before training: "
            f"{as_microseconds(check.estimated_us)})",
            err=True,
        )
    recipients = next((member.encrypted_for for member in family.members if member.encrypted_for), ())
    if recipients:
        typer.echo(f"encrypted; opens with: {', '.join(recipients)}")
        typer.echo(f"plain, for bench, demo and export: {JobFolder(folder).plain}")
    if not family.finished:
        typer.echo("stopped early: this is the best so far; the same command again goes on from there", err=True)
    typer.echo(f"report: {folder / 'report.html'}")


def _print_pruning(family: Family) -> None:
    """Print what pruning cost each student that was made so."""
    for member in family.members:
        found = member.pruning
        if found is not None:
            typer.echo(
                f"{member.budget}: pruned from {found.weights_before:,} to {found.weights_after:,} weights, "
                f"{format_macs(found.macs_before)} to {format_macs(found.macs_after)} multiply-accumulates; accuracy before "
                f"{as_percent(found.accuracy_before)}, cut {as_percent(found.accuracy_cut)}, after fine-tuning "
                f"{as_percent(found.accuracy_finetuned)}, as integers {as_percent(member.accuracy)}"
            )


def _print_islands(family: Family) -> None:
    """Print what the files of each student compute in float."""
    for member in family.members:
        if member.float_islands:
            typer.echo(f"{member.budget}: float islands: {on_one_line('; '.join(member.float_islands))}")


def _print_quantization(family: Family) -> None:
    """Print what quantization cost where that was too much, and what was done about it."""
    for member in family.members:
        cost = member.quantization
        if cost is None or not (cost.cures or cost.is_exceeded):
            continue
        tried = ", ".join(f"{cure.name} {as_percent(cure.validation_accuracy)} ({cure.state})" for cure in cost.cures)
        typer.echo(
            f"{member.budget}: quantization cost {as_points(cost.float_accuracy - cost.first_accuracy)} points on validation, "
            f"{as_percent(cost.float_accuracy)} in float; tried: {tried or 'nothing'}; now {as_percent(cost.accuracy)}"
            + (f", past max_quantization_drop={cost.max_drop:g}" if cost.is_exceeded else "")
        )


def _print_devices(family: Family) -> None:
    """Print which member is right for each device that was asked for."""
    rows = []
    for choice in family.devices:
        takes = ", ".join(
            f"{LIMIT_WORDS.get(name, name)} {format_bytes(choice.sizes[name])} of {format_bytes(limit)}"
            for name, limit in choice.limits.items()
            if name in choice.sizes
        )
        rows.append((choice.device, choice.member or "none", choice.format or "-", takes or on_one_line(choice.reason)))
    if rows:
        columns = ("device", "member", "file", "takes")
        typer.echo()
        print_table(columns, rows, words=columns)
        typer.echo()


def _rows(member: Member) -> list[tuple[str, ...]]:
    """Return a row for each file; what belongs to the member stands in the first."""
    rows = []
    for i, file in enumerate(member.files):
        head = (member.budget, member.student) if i == 0 else ("", "")
        teaching = (
            (as_percent(member.twin.accuracy), as_points(member.distillation_gain)) if member.twin and i == 0 else ("", "")
        )
        rows.append((*head, *_file_cells(file), *teaching))
    return rows


def _file_cells(file: FileRecord) -> tuple[str, ...]:
    latency = as_microseconds(file.latency_us.median if file.latency_us else None)
    accuracy = as_percent(file.accuracy) + ("" if file.verified else " (not verified)")
    return file.format, format_bytes(file.size_bytes), accuracy, as_percent(file.agreement), latency


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
        _print_infeasible(budgets.infeasible)
    if budgets.infeasible:
        raise typer.Exit(INFEASIBLE)


def _print_section(title: str, lines: Iterable[str]) -> None:
    typer.echo(title)
    for line in lines:
        typer.echo(f"  {line}")


def _print_infeasible(infeasible: Iterable[Infeasible]) -> None:
    for missed in infeasible:
        typer.echo(
            f"budget {missed.budget} cannot be met: the smallest reachable size is {format_bytes(missed.smallest_bytes)} "
            f"({missed.smallest_bytes} bytes), {missed.format} binds at {format_bytes(missed.budget_bytes)}",
            err=True,
        )


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
