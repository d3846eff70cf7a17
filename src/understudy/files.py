"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from understudy.errors import SetupError

_STEPS = {errno.ENOENT: "make that folder or choose another", errno.EACCES: "choose another folder or change its permissions"}
"""What to do about an error of writing; of others the disk is likely to be full."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; see ``written``."""
    with written(path) as stream:
        stream.write(content)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Yield a file with a temporary name in the same folder, which is renamed to ``path`` at the end.

    Raises:
        SetupError: the folder is missing, unwritable or full; ``path`` is then what it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            "the output folder must exist, be writable and have room: "
            f"received path={str(path)!r} ({error.strerror or error}); "
            f"{_STEPS.get(error.errno or 0, 'free some space or choose another folder')}"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; see ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))
