"""Skips a test whose emulator or compiler is not on this machine."""

from __future__ import annotations

import shutil

import pytest

from understudy.devices.browser_onnx import onnxruntime_web
from understudy.errors import SetupError


def need(*tools: str) -> None:
    """Skip the calling test unless every one of ``tools`` is on the PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)}; run: make devices")


def need_onnxruntime_web() -> None:
    """Skip the calling test unless ONNX Runtime Web was fetched."""
    try:
        onnxruntime_web()
    except SetupError as error:
        pytest.skip(str(error))


def need_microcontrollers() -> None:
    need("qemu-system-arm", "arm-none-eabi-gcc")
