"""Where a training stopped, so that a killed job goes on as if nothing had happened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from understudy.files import write_bytes


class Checkpoint:
    """One file that holds the latest state of one training.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by ``state`` (tensors, numbers, strings, lists and dictionaries) in one step."""
        buffer = io.BytesIO()
        torch.save(_on_machine(state), buffer)
        write_bytes(self.path, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None when there is none."""
        if not self.path.exists():
            return None
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        return state

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)


def _on_machine(value: Any) -> Any:
    """Return ``value`` with every tensor in the machine's own memory: a training may go on without the graphics card."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return type(value)((key, _on_machine(each)) for key, each in value.items())
    return [_on_machine(each) for each in value] if isinstance(value, list) else value
