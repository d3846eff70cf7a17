"""A library's greeting is dropped, everything else on standard error arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, sys
from understudy.export.native_stderr import dropped_lines
os.write(2, b"before\\n")
try:
    with dropped_lines(b"INFO: Created"):
        os.write(2, b"INFO: Created a delegate\\nWARNING: kept\\n")
        print("from Python", file=sys.stderr)
        if len(sys.argv) > 1:
            raise KeyError
except KeyError:
    pass
os.write(2, b"INFO: Created after\\n")
"""


@pytest.mark.parametrize("arguments", [(), ("fail",)], ids=["leaves", "raises"])
def test_only_the_greeting_is_dropped(arguments: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True, timeout=30)
    assert result.stderr.splitlines() == ["before", "WARNING: kept", "from Python", "INFO: Created after"]


def test_a_closed_standard_error_is_no_error() -> None:
    code = "from understudy.export.native_stderr import dropped_lines\nwith dropped_lines(b'x'): print('ran')"
    command = f'exec "{sys.executable}" -c "{code}" 2>&-'
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    assert result.stdout == "ran\n"
