"""Skips a test whose emulator or compiler is not on this machine, and a board that is too small."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

import pytest


def need(*tools: str) -> None:
    """Skip the calling test unless every one of ``tools`` is on the PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}; run: make devices")


def need_microcontrollers() -> None:
    need("qemu-system-arm", "arm-none-eabi-gcc")


def small_board(folder: Path, *, flash: int, ram: int) -> str:
    """Return the path of a device profile: a Cortex-M0 of ``flash`` and ``ram`` bytes."""
    text = resources.files("understudy.devices").joinpath("profiles", "cortex-m0.toml").read_text("utf-8")
    for section, size in (("flash", flash), ("ram", ram)):
        text = re.sub(rf"(\[{section}\]\nbytes = )\S+(\nmodel_bytes = )\S+", rf"\g<1>{size}\g<2>{size // 2}", text)
    path = folder / "small.toml"
    path.write_text(text.replace('name = "cortex-m0"', 'name = "small"'))
    return str(path)
