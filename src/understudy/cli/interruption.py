"""What Ctrl-C leaves behind, said as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def told_apart(folder: Path) -> Iterator[None]:
    """Let an interruption say that what is finished is kept, or nothing where the command has not written ``folder`` yet."""
    try:
        yield
    except KeyboardInterrupt:
        if folder.exists():
            raise KeyboardInterrupt("what was finished is kept, run the same command again to go on") from None
        raise KeyboardInterrupt("nothing was finished yet, and nothing is kept; run the same command again") from None
