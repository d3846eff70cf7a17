"""docs/cli.md holds the help that the command prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "docs" / "make_command_reference.py"


def test_the_help_in_the_page_is_current() -> None:
    result = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_every_verb_has_a_section() -> None:
    from understudy.cli.main import app

    page = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"<!-- help: {command.callback.__name__} --help -->" in page
