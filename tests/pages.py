"""Pages in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_BROWSER = Path(__file__).with_name("browser.mjs")
READY = {"wait": "document.getElementById('first')?.textContent.includes('ms')"}
"""A step that waits until a page of ``understudy demo`` answers."""


def in_browser(url: str, *steps: dict[str, Any]) -> list[Any]:
    """Open ``url`` in Chromium and return what the ``steps`` that ask for something gave; ``browser.mjs`` lists them."""
    for needed in ("node", "chromium"):
        if shutil.which(needed) is None:
            pytest.skip(f"this test needs {needed}")
    command = ["node", str(_BROWSER), url, json.dumps(steps)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    answers: list[Any] = json.loads(result.stdout)
    return answers
