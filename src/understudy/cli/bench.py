"""``understudy bench``: a bundle's files on this machine, on emulated devices and in browsers, in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.content import labelled_content, refuse_text_column
from understudy.cli.opening import TrustOption
from understudy.cli.output import JsonFlag, as_microseconds, on_one_line, print_json, print_table
from understudy.errors import SetupError, UnderstudyError, VerificationError
from understudy.units import format_bytes

if TYPE_CHECKING:
    from understudy.bundle import Bundle
    from understudy.device_measurements import Measurement
    from understudy.devices.runner import Examples

_COLUMNS = ("target", "format", "latency", "instructions", "flash", "RAM", "exact", "runtime")
_WORDS = ("target", "format", "exact", "runtime")


def bench(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="host, aarch64, armhf, riscv64, a device of 'understudy devices', or a device profile (.toml); repeat it. "
            "Default: host.",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run these in place of the bundle's own examples: a table; NPZ, NPY or a folder."),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The text column of --test; guessed from its name.")
    ] = None,
    format_names: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Files to run, each on the targets that can; repeat it. Default: all of them; on emulated cores c, or c_float "
            "where there is no c.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Measure on the host with N threads too, where a runtime can use them.")
    ] = 1,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a bundle's files on this machine and on devices.

    Every answer is compared with the reference.
    Where a target cannot be measured the others are, a line says what was not and why, and the exit code is that of the
    last such line: 4 for a tool that is missing, 3 for a device that the model does not fit, 2 for a target that runs
    none of the files in --format. A file that was not named and has no runtime on this system is said too, and no failure.
    A time with ~ is an estimate: exactly counted instructions of an emulated core, divided by its clock.
    Inside a family the measurements are added to family.json and to the report.
    """
    from understudy.bundle import Bundle
    from understudy.cli.progress import open_progress
    from understudy.devices.bench import bench as run_bench
    from understudy.devices.bench import record
    from understudy.family import Home

    opened = Bundle.open(bundle, trusted=trust)
    opened.require_plain("bench")
    examples = _examples(opened, test, text)
    formats = tuple(format_names) if format_names else None
    not_measured: list[UnderstudyError] = []
    with open_progress(sys.stderr, silent=as_json) as progress:
        found = run_bench(
            opened,
            on or ["host"],
            examples=examples,
            formats=formats,
            threads=threads,
            progress=progress,
            on_failure=not_measured.append,
        )
    home, not_recorded = Home.of(opened.folder), None
    if home is not None:
        from understudy.report.page import write_report

        try:
            write_report(record(home, found), home.folder)
        except SetupError as unwritten:  # what was measured is shown all the same
            home, not_recorded = None, unwritten
    failures = _said(not_measured)
    failure = _failure(found, bundle) or not_recorded
    for each in failures if failure else failures[:-1]:  # the last line is the one that gives the exit code
        typer.echo(f"error: {each}", err=True)
    failure = failure or (failures[-1] if failures else None)
    if as_json:
        error = failure and {"type": type(failure).__name__, "message": str(failure), "exit_code": failure.exit_code}
        print_json(
            {
                "bundle": str(bundle),
                "examples": len(examples.inputs),
                "origin": examples.origin,
                "measurements": [each.model_dump(mode="json") for each in found],
                "not_measured": [str(each) for each in not_measured],
                "recorded": None if home is None else str(home.folder),
                "error": error or None,
            }
        )
        raise typer.Exit(failure.exit_code if failure else 0)
    _print(found, examples)
    if home is not None:
        typer.echo(f"added to {home.folder / 'report.html'}")
    if failure is not None:
        raise failure


def _said(not_measured: Sequence[UnderstudyError]) -> list[UnderstudyError]:
    """Print which files are left out without a failure, and return the failures."""
    from understudy.devices.runner import LeftOutError

    failures = []
    for each in not_measured:
        if isinstance(each, LeftOutError):
            typer.echo(f"not measured: {each}", err=True)
        else:
            failures.append(each)
    return failures


def _examples(bundle: Bundle, test: Path | None, column: str | None) -> Examples:
    from understudy.devices.bench import bundle_examples, own_examples

    refuse_text_column(bundle.manifest, column, path=test, option="--test")
    if test is None:
        return bundle_examples(bundle)
    shape = bundle.manifest.image_shape
    if shape is not None:
        from understudy.data.image import read_images

        return own_examples(bundle, read_images(test, part="test", shape=shape).pixels, origin=test.name)
    if bundle.manifest.sound is not None:
        return own_examples(bundle, labelled_content(bundle.manifest, test)[0], origin=test.name)
    if bundle.manifest.input_shape is not None:
        from understudy.data.number_table import read_examples

        numbers = read_examples(test, bundle.manifest.input_shape, bundle.manifest.columns)
        return own_examples(bundle, numbers, origin=test.name)
    from understudy.data.read import read_table
    from understudy.data.table import find_text_column, take_rows

    table = read_table(test)
    rows = take_rows(table, text=find_text_column(table, column), label=None)
    return own_examples(bundle, rows.texts, origin=test.name)


def _print(found: Sequence[Measurement], examples: Examples) -> None:
    print_table(_COLUMNS, [_row(each) for each in found], words=_WORDS)
    typer.echo(f"{len(examples.inputs)} examples: {on_one_line(examples.origin)}")
    if any(each.clock_hz for each in found):
        typer.echo("~ an estimate: instructions of the emulated core, one taken as one cycle of its clock; nothing was timed")
    for each in found:
        worst = f"{each.target} {each.format}: worst score difference {each.max_probability_difference:.1e}"
        bound = "within the bound of float islands" if each.within_bound else "not exact"
        typer.echo(worst if each.exact else f"{worst}, {bound}, {len(each.differing_labels)} labels differ")
        for label in each.differing_labels:
            typer.echo(f"  row {label.row}: {on_one_line(label.received)} where {on_one_line(label.expected)} is expected")


def _row(each: Measurement) -> tuple[str, ...]:
    time = as_microseconds(each.latency_us.median if each.latency_us else None)
    return (
        each.target if each.threads == 1 else f"{each.target}, {each.threads} threads",
        each.format,
        time if each.measured or each.latency_us is None else f"~{time}",
        "-" if each.instructions is None else f"{each.instructions:,}",
        "-" if each.flash_bytes is None else format_bytes(each.flash_bytes),
        "-" if each.ram_bytes is None else format_bytes(each.ram_bytes),
        "yes" if each.exact else "near" if each.within_bound else "no",
        each.runtime,
    )


def _failure(found: Sequence[Measurement], bundle: Path) -> UnderstudyError | None:
    wrong = [f"{each.format} on {each.target}" for each in found if not (each.exact or each.within_bound)]
    if not wrong:
        return None
    return VerificationError(
        f"every target reproduces the reference: received bundle={str(bundle)!r} where these do not: {', '.join(wrong)}; "
        "do not use these files there, and report it"
    )
