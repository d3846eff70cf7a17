"""``understudy export``: more formats for a finished bundle, and encrypted copies of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from understudy.cli.content import labelled_content, unknown_labels
from understudy.cli.opening import TrustOption
from understudy.cli.output import JsonFlag, as_microseconds, as_percent, on_one_line, print_json, print_table
from understudy.errors import InputError
from understudy.units import format_bytes

if TYPE_CHECKING:
    from understudy.additions import Added
    from understudy.bundle.encrypted import EncryptedBundle

_COLUMNS = ("format", "file", "size", "accuracy", "agree", "latency", "runtime")


def export(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    format_names: Annotated[
        list[str] | None, typer.Option("--to", metavar="FORMAT", help="A format to add, as python or wasm; repeat it.")
    ] = None,
    encrypt: Annotated[
        list[Path] | None,
        typer.Option(metavar="DEVICE.pub", help="Write a copy to --out that this device can read; repeat it for more devices."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the encrypted copy goes.")] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled examples to measure on; default: the family's test split."),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column; guessed from its name.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The label column; guessed from its name.")] = None,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Add formats to a finished bundle, or write an encrypted copy of it.

    Each new file is run in its own runtime, on the bundle's test vectors and the test split, and must reproduce the reference.
    Formats that the bundle holds already are left alone. The changed bundle is signed with your key; see understudy keys.
    """
    from understudy.formats import known_formats

    if not format_names and not encrypt:
        raise InputError(
            f"export needs a format: received none; add --to and one of {', '.join(known_formats())}, or --encrypt DEVICE.pub"
        )
    if (out is None) != (not encrypt):
        raise InputError(
            f"an encrypted copy has a folder of its own: received encrypt={[*map(str, encrypt or [])]}, "
            f"out={out and str(out)!r}; give both or neither"
        )
    if (test is None or not format_names) and (test, text, label) != (None, None, None):
        raise InputError(
            f"--test, --text and --label are of new formats: received test={test and str(test)!r}, text={text!r}, "
            f"label={label!r}; add --test FILE and --to FORMAT"
        )
    document: dict[str, Any] = {"bundle": str(bundle)}
    if format_names:
        added = _add(bundle, format_names, test, text, label, trust, as_json=as_json)
        document |= _as_json(added)
        if not as_json:
            _print(added, bundle)
    if encrypt and out is not None:
        copy = _encrypt(bundle, out, encrypt, None if format_names else trust, as_json=as_json)
        document["encrypted"] = {
            "out": str(out),
            "digest": copy.manifest.digest,
            "signer": copy.manifest.signer,
            "recipients": copy.manifest.encryption and list(copy.manifest.encryption.recipients),
            "files": sorted(copy.manifest.files),
            "verified": list(copy.verified),
            "not_run": copy.not_run,
        }
        if not as_json:
            _print_encrypted(copy, out)
    if as_json:
        print_json(document)


def _add(
    bundle: Path,
    format_names: list[str],
    test: Path | None,
    text: str | None,
    label: str | None,
    trusted: Sequence[Path] | None,
    *,
    as_json: bool,
) -> Added:
    from understudy.additions import add_formats
    from understudy.bundle import Bundle
    from understudy.cli.progress import open_progress

    given = None
    if test is not None:
        manifest = Bundle.open(bundle, trusted=trusted).manifest
        given = labelled_content(manifest, test, text=text, label=label)
        unknown_labels(manifest, test, given[1])
    with open_progress(sys.stderr, silent=as_json) as progress:
        return add_formats(bundle, format_names, test=given, trusted=trusted, progress=progress)


def _encrypt(
    bundle: Path, out: Path, recipients: list[Path], trusted: Sequence[Path] | None, *, as_json: bool
) -> EncryptedBundle:
    from understudy.bundle import Bundle, encrypt_bundle
    from understudy.cli.progress import open_progress

    with open_progress(sys.stderr, silent=as_json) as progress:
        progress.stage("encrypting and verifying")
        return encrypt_bundle(Bundle.open(bundle, trusted=trusted), out, recipients)


def _as_json(added: Added) -> dict[str, Any]:
    return {
        "files": [
            {
                **asdict(addition),
                "byte_table": dict(addition.byte_table),
                "latency_us": addition.latency_us and addition.latency_us.model_dump(),
            }
            for addition in added.additions
        ],
        "held": added.held,
        "digest": added.digest,
        "signer": added.signer,
        "signer_before": added.signer_before,
        "family": None if added.family is None else str(added.family),
        "budget_bytes": added.budget_bytes,
        "not_tested": added.not_tested,
    }


def _print(added: Added, bundle: Path) -> None:
    if added.additions:
        cells = [
            (
                addition.format,
                addition.path,
                format_bytes(addition.size_bytes),
                as_percent(addition.accuracy),
                as_percent(addition.agreement),
                as_microseconds(addition.latency_us.median if addition.latency_us else None),
                addition.runtime or "-",
            )
            for addition in added.additions
        ]
        print_table(_COLUMNS, cells, words=("format", "file", "runtime"))
    for addition in added.additions:
        if addition.not_run:
            typer.echo(f"{addition.format}: not verified: {addition.not_run}")
        if added.budget_bytes is not None and addition.size_bytes > added.budget_bytes:
            typer.echo(f"{addition.format}: {addition.size_bytes} bytes are more than the budget of {added.budget_bytes}")
    if added.held:
        typer.echo(f"held already: {', '.join(added.held)}")
    typer.echo(f"bundle: {bundle}, digest {added.digest[:12]}")
    if added.signer != added.signer_before:
        typer.echo(f"signed by {added.signer}; before this by {added.signer_before}")
    if added.family:
        typer.echo(f"family: {added.family} and its report have the new files")
    if added.not_tested:
        typer.echo(f"not measured on the test split: {on_one_line(added.not_tested)}", err=True)


def _print_encrypted(copy: EncryptedBundle, out: Path) -> None:
    encryption = copy.manifest.encryption
    typer.echo(f"encrypted: {out}, digest {copy.manifest.digest[:12]}, signed by {copy.manifest.signer}")
    typer.echo(f"opens with: {', '.join(encryption.recipients if encryption else ())}")
    typer.echo(f"decrypted and run here: {', '.join(copy.verified) or 'nothing'}")
    for name, reason in copy.not_run.items():
        typer.echo(f"{name}: not run here: {on_one_line(reason)}", err=True)
