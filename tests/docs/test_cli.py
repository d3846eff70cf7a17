"""The help pages in ``docs/cli.md`` are what the commands print today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "make_command_reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["init", "compress", "predict", "evaluate", "bench", "report", "devices", "doctor"])
def test_every_verb_is_on_the_page(verb: str) -> None:
    assert f"<!-- help: {verb} --help -->" in (DOCS / "cli.md").read_text(encoding="utf-8")
