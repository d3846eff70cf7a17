"""Where the examples of a set stand: in memory while they take little of it, else in a file that the system pages in and out.

Such a file has no name, so that nothing is left of it however a run ends. Whoever reads the array reads it in ``pieces``.
"""

from __future__ import annotations

import math
import mmap
import os
import resource
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from understudy.errors import SetupError
from understudy.units import format_bytes

AnyArray = npt.NDArray[Any]
Int64Array = npt.NDArray[np.int64]
LARGEST_SHARE = 1 / 8
"""Of the memory: a larger array stands in a file. Up to three are in use at once: as read, as pixels, and in order."""
PIECE_BYTES = 1 << 22
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may use: cgroups 2 and 1."""


@dataclass(frozen=True)
class Room:
    """Makes arrays.

    Attributes:
        folder: its disk holds large ones; it need not exist, a folder above it does. None for the system's temporary folder.
    """

    folder: Path | None = None

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> AnyArray:
        """Return an array of zeros of ``shape``.

        Raises:
            SetupError: it is too large for the memory, and the disk has no room for it.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size <= LARGEST_SHARE * memory_bytes():
            return np.zeros(shape, dtype)
        folder = Path(tempfile.gettempdir()) if self.folder is None else _existing(self.folder.absolute())
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                if hasattr(os, "posix_fallocate"):  # macOS has none
                    # later, a write to a page that the disk has no room for would end the process without a word
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
                return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)
        except (OSError, OverflowError) as error:
            step = "give an --out on another disk" if self.folder else "name a folder on another disk as TMPDIR"
            raise SetupError(
                f"data larger than memory need room on disk: received bytes={size} ({format_bytes(size)}) for "
                f"folder={str(folder)!r} ({getattr(error, 'strerror', error)}); free some space or {step}"
            ) from error

    def gathered(self, index: Int64Array, first: AnyArray, *others: AnyArray) -> AnyArray:
        """Return the rows of ``first`` at ``index`` and then all of ``others``, whose rows have the same shape and type."""
        found = self.empty((len(index) + sum(map(len, others)), *first.shape[1:]), first.dtype)
        begin = 0
        for part in chain(taken(first, index), *(taken(other, np.arange(len(other))) for other in others)):
            found[begin : begin + len(part)] = part
            begin += len(part)
        return found


TEMPORARY = Room()
"""On the disk of the system's temporary folder."""


def memory_bytes() -> int:
    """Return the bytes of memory that this process may use: the machine's, or less where it is limited."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    found += [] if soft == resource.RLIM_INFINITY else [soft]
    for path in _LIMITS:
        if path.is_file() and (text := path.read_text().strip()).isdecimal():
            found.append(int(text))
    return min(found)


def pieces(array: AnyArray) -> Iterator[slice]:
    """Yield slices of the rows of ``array`` in order, each of about ``PIECE_BYTES`` and at least one row."""
    rows = _rows_together(array)
    for begin in range(0, len(array), rows):
        yield slice(begin, min(begin + rows, len(array)))


def taken(array: AnyArray, index: Int64Array) -> Iterator[AnyArray]:
    """Yield the rows of ``array`` at ``index`` in order, about ``PIECE_BYTES`` at a time."""
    rows = _rows_together(array)
    for begin in range(0, len(index), rows):
        yield array[index[begin : begin + rows]]


def fill(array: AnyArray, stream: IO[bytes]) -> int:
    """Read the content of ``array``, C-contiguous, from ``stream``; return the bytes that were there, fewer where it ends."""
    content = array.reshape(-1).view(np.uint8)
    done = 0
    while done < len(content):
        read = stream.read(min(PIECE_BYTES, len(content) - done))
        if not read:
            break
        content[done : done + len(read)] = np.frombuffer(read, np.uint8)
        done += len(read)
    return done


def _rows_together(array: AnyArray) -> int:
    return max(1, PIECE_BYTES // max(1, array[:1].nbytes))


def _existing(folder: Path) -> Path:
    """Return ``folder``, or the first above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
