"""What ``understudy compress`` prints of a finished family."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from understudy.cli.output import as_microseconds, as_percent, as_points, on_one_line, print_table
from understudy.formats import LIMIT_WORDS
from understudy.units import format_bytes, format_macs

if TYPE_CHECKING:
    from understudy.family import Family, FileRecord, Infeasible, LatencyCheck, Member

_COLUMNS = ("budget", "student", "format", "size", "accuracy", "agree", "latency", "twin", "gain")


def missed_latencies(family: Family) -> list[tuple[Member, LatencyCheck]]:
    """Return the files that take longer than ``--max-latency``."""
    return [(member, check) for member in family.members for check in member.latency_checks if not check.is_met]


def print_family(family: Family, folder: Path) -> None:
    """Print the table of files, and what a user has to know beside it."""
    from understudy.job_folder import JobFolder
    from understudy.report.findings import lowest_accuracy

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
        if isinstance(family.job.get("max_drop"), float):
            typer.echo("max_drop is not checked: without a teacher there is nothing to compare with", err=True)
    else:
        unused = "" if teacher.used else f", not used: {on_one_line(teacher.note)}"
        typer.echo(f"teacher: {on_one_line(teacher.name)}, accuracy {as_percent(teacher.accuracy)}{unused}")
    for baseline in family.baselines:
        worse = [member.budget for member in family.members if lowest_accuracy(member) < baseline.accuracy]
        beaten = f", above the student of {', '.join(worse)}" if worse else ""
        typer.echo(f"baseline: {baseline.name}, accuracy {as_percent(baseline.accuracy)}{beaten}")
    _print_devices(family)
    print_infeasible(family.infeasible)
    for member, check in missed_latencies(family):
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


def print_infeasible(infeasible: Iterable[Infeasible]) -> None:
    """Print the smallest reachable size of each budget that cannot be met."""
    for missed in infeasible:
        typer.echo(
            f"budget {missed.budget} cannot be met: the smallest reachable size is {format_bytes(missed.smallest_bytes)} "
            f"({missed.smallest_bytes} bytes), {missed.format} binds at {format_bytes(missed.budget_bytes)}",
            err=True,
        )
