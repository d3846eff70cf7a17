"""Real bundles, made from random programs and the real exporters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from programs import sequence_program
from understudy.bundle import Bundle, write_bundle
from understudy.export.registry import exporter
from understudy.formats import DEFAULT_FORMATS
from understudy.program.ops import Program

LABELS = ("play music", "tab\there", 'say "hi"', "line\nbreak", "back\\slash", "größe", "other")
NAME = "tiny"


def make_bundle(
    folder: Path,
    *,
    program: Program | None = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    threshold: float | None = None,
) -> Bundle:
    """Write a bundle of a random program with seven classes to ``folder`` and open it."""
    chosen = sequence_program() if program is None else program
    write_bundle(
        folder,
        program=chosen,
        exports={name: exporter(name).export(chosen, name=NAME, labels=LABELS) for name in formats},
        name=NAME,
        labels=LABELS,
        threshold=threshold,
        recipe={"student": "projection_sequence", "width": 12},
        data_digest="0" * 64,
    )
    return Bundle.open(folder)
