"""``understudy evaluate``: every exported file of a bundle on labelled examples, in its own runtime."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.content import labelled_content, unknown_labels
from understudy.cli.opening import KeyOption, TrustOption
from understudy.cli.output import JsonFlag, as_microseconds, as_percent, print_json, print_table
from understudy.errors import SetupError, UnderstudyError, VerificationError
from understudy.units import format_bytes, format_count

if TYPE_CHECKING:
    from understudy.bundle import FileEvaluation

_COLUMNS = ("format", "size", "accuracy", "macro F1", "agree", "latency", "verified", "runtime")


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A CSV, TSV, JSONL or Parquet table; images as NPZ, IDX or a folder; vectors as a table or NPZ; sounds in a "
            "folder.",
        ),
    ],
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures or recordings that cannot be used.")] = False,
    trust: TrustOption = None,
    key: KeyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure every file of a bundle on labelled texts, images, vectors or sounds.

    Each file is run in its own runtime.
    Agreement says on which fraction of the bundle's own test vectors a file reproduces the reference to the bit;
    files in float that of the program in real numbers, within 1e-4.
    """
    from understudy.bundle import Bundle
    from understudy.cli.progress import open_patient_progress

    opened = Bundle.open(bundle, trusted=trust, key=key)
    content, labels = labelled_content(opened.manifest, data, text=text, label=label, skip_bad=skip_bad)
    unknown = unknown_labels(opened.manifest, data, labels)
    with open_patient_progress(sys.stderr, silent=as_json) as progress:
        results = opened.evaluate(content, labels, progress=progress)
    failure = _failure(results, bundle)
    if as_json:
        document = {"bundle": str(bundle), "data": str(data), "texts": len(content), "unknown_labels": unknown}
        error = (
            None
            if failure is None
            else {"type": type(failure).__name__, "message": str(failure), "exit_code": failure.exit_code}
        )
        print_json({**document, "files": [_as_json(result) for result in results], "error": error})
        raise typer.Exit(0 if failure is None else failure.exit_code)
    print_table(_COLUMNS, [_row(result) for result in results], words=("format", "verified", "runtime"))
    typer.echo(
        format_count(len(content), opened.manifest.examples)
        + (f", {unknown} with a label that the bundle does not know" if unknown else "")
    )
    for result in results:
        if result.reason:
            typer.echo(f"{result.format}: {result.reason}")
    if failure is not None:
        raise failure


def _as_json(result: FileEvaluation) -> dict[str, object]:
    return {**asdict(result), "latency_us": result.latency_us and result.latency_us.model_dump()}


def _row(result: FileEvaluation) -> tuple[str, ...]:
    latency = result.latency_us
    return (
        result.format,
        format_bytes(result.size_bytes),
        as_percent(result.accuracy),
        as_percent(result.macro_f1),
        as_percent(result.agreement),
        as_microseconds(latency.median if latency else None),
        "yes" if result.verified else "no",
        result.runtime or "-",
    )


def _failure(results: tuple[FileEvaluation, ...], bundle: Path) -> UnderstudyError | None:
    """Return the error when a file ran and disagrees with the reference, or none ran."""
    wrong = [f"{result.format} ({result.reason})" for result in results if result.runtime and not result.verified]
    if wrong:
        return VerificationError(
            f"every file reproduces the bundle's vectors: received bundle={str(bundle)!r} where these fail: "
            f"{', '.join(wrong)}; do not use these files on this machine, and report it"
        )
    if not any(result.runtime for result in results):
        return SetupError(
            f"an evaluation needs one runtime: received bundle={str(bundle)!r}, none of whose formats runs here; "
            "run: understudy doctor"
        )
    return None
