"""Skips a test whose emulator or compiler is not on this machine."""

from __future__ import annotations

import shutil

import pytest


def need(*tools: str) -> None:
    """Skip the calling test unless every one of ``tools`` is on the PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}; run: make devices")


def need_microcontrollers() -> None:
    need("qemu-system-arm", "arm-none-eabi-gcc")
