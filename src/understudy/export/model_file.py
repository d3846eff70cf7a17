"""What the graph formats share about their one file: reading it, and where its bytes went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from understudy.errors import BundleError
from understudy.export.box_graph import CONSTANTS
from understudy.export.text_graph import TABLES
from understudy.program.ops import Program, ProjectBoxes, ProjectText, Sound
from understudy.projections.log_mel import LOG_MEL


def read_model_file(path: Path) -> bytes:
    """Return the content of ``path``.

    Raises:
        BundleError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"a model file must be readable: received path={str(path)!r} ({error.strerror}); copy or compress it again"
        ) from error


def byte_rows(program: Program, content: bytes, stored_bytes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return (where, bytes) for a projection or a log-mel picture, each layer and the rest; they add up to its length.

    Args:
        program: what the file was written from.
        content: the file.
        stored_bytes: owner of numbers in the file to their bytes.
    """
    projecting: tuple[str, ...] = (CONSTANTS, TABLES) if isinstance(program.source, ProjectText) else ()
    if any(isinstance(node, ProjectBoxes) for node in program.nodes):
        projecting = (CONSTANTS,)
    if isinstance(program.source, Sound):
        projecting = (LOG_MEL,)
    owners = (*projecting, *(node.output for node in program.layers))
    rows = [(owner, stored_bytes.get(owner, 0)) for owner in owners]
    return [*rows, ("operators and tensors", len(content) - sum(size for _, size in rows))]
