"""Drops a library's greeting: some native code writes a line to file descriptor 2 whenever it loads; no switch stops it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def dropped_lines(beginning: bytes) -> Iterator[None]:
    """Pass on what is written to standard error inside, except lines that start with ``beginning``.

    The descriptor belongs to the whole process: lines of other threads arrive late, none is lost.
    """
    _flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed: nothing is shown anyway
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not line.startswith(beginning):
                    os.write(2, line)


def _flush() -> None:
    with suppress(AttributeError, ValueError):  # Python leaves None, or a closed file, where there is no standard error
        sys.stderr.flush()
