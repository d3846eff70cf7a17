"""Runs the command as a user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_INSTALLED = Path(sys.executable).with_name("understudy")
COMMAND = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "understudy"]


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    exit_code: int
    out: str
    err: str


def understudy(
    *arguments: object,
    stdin: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run ``understudy ARGUMENTS`` in ``folder``, with ``stdin`` as a pipe."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", **(environment or {})},
        timeout=300,
        check=False,
    )
    return Outcome(result.returncode, result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under ``folder``, to see that nothing changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
