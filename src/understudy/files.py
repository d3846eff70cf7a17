"""Write a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from understudy.errors import SetupError


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` under a temporary name in the same folder, then rename it to ``path``.

    Raises:
        SetupError: the folder is missing, unwritable or full; ``path`` is then what it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"the output folder must exist, be writable and have room: received path={str(path)!r} ({error.strerror}); "
            "free some space or choose another folder"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; see ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))
