"""Pastes the ``--help`` pages into docs/cli.md, between its markers. ``--check`` only says whether they are current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
_SECTION = re.compile(r"(<!-- help: (?P<arguments>.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_text(arguments: str) -> str:
    """Return what ``understudy ARGUMENTS`` prints, at a width that does not depend on the terminal."""
    command = [sys.executable, "-m", "understudy", *arguments.split()]
    environment = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def render(page: str) -> str:
    """Return ``page`` with every marked section filled anew."""
    return _SECTION.sub(lambda found: f"{found[1]}\n```\n{help_text(found['arguments']).rstrip()}\n```\n\n{found[3]}", page)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    before = PAGE.read_text(encoding="utf-8")
    after = render(before)
    if "--check" in sys.argv[1:]:
        if before != after:
            print(f"{PAGE.name} is not current; run: make docs", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
