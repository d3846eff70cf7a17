"""Paths in a job file: they start from its folder, and a job that moves to another one with its files stays the same job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from understudy.settings import TeacherSettings

_FILE_KEYS = ("train", "validation", "test", "unlabelled", "out_of_scope")
_PROFILE = ".toml"
"""How the path of a device's profile ends; a shipped one has a name alone."""


def start_paths_from(folder: Path, document: dict[str, Any]) -> None:
    """Make the paths in ``document`` relative to ``folder`` instead of the current folder; a teacher in a module stays."""
    data = document.get("data")
    if isinstance(data, dict):
        for key in _FILE_KEYS:
            if isinstance(data.get(key), str):
                data[key] = str(folder / data[key])
    devices = document.get("devices")
    if isinstance(devices, list):
        document["devices"] = [with_path(each, folder.joinpath) if isinstance(each, str) else each for each in devices]
    if isinstance(latency := document.get("max_latency"), str):
        document["max_latency"] = with_target_path(latency, folder.joinpath)
    recipients = document.get("encrypt")
    if isinstance(recipients, list):
        document["encrypt"] = [str(folder / key) if isinstance(key, str) else key for key in recipients]
    teacher = document.get("teacher")
    source = teacher.get("source") if isinstance(teacher, dict) else None
    if isinstance(source, str) and source and TeacherSettings(source=source).has_path:
        document["teacher"]["source"] = str(folder / source)


def with_path(device: str, change: Callable[[Path], Path | str]) -> str:
    """Return ``device`` after ``change`` of the path of its profile; the name of a shipped one stays."""
    return str(change(Path(device))) if device.endswith(_PROFILE) else device


def with_target_path(latency: str, change: Callable[[Path], Path | str]) -> str:
    """Return ``latency``, as ``2ms@board.toml``, after ``change`` of the path of its target's profile."""
    time, at, target = latency.partition("@")
    return f"{time}{at}{with_path(target.strip(), change)}"
