"""A folder of class folders, listed: ``photos/cat/1.jpg`` is of the class ``cat``, and so is ``photos/cat/more/2.jpg``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from understudy.errors import InputError

_MOST_SHOWN = 5
_OF_ARCHIVES = "__MACOSX"
"""A folder that archives from macOS have beside what was packed, with a hidden file for each file."""


def listed(path: Path, endings: Sequence[str], *, without: Callable[[Path], str]) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Return (file, label) of every file below the class folders of ``path`` with one of ``endings``, and all other files.

    A class folder holds such files of its own; those in folders inside it are of its class too, as other tools read them.
    One that is not there, as behind a link to nothing, is listed, so that whoever reads it says so by name.

    Args:
        path: the folder. Hidden entries are passed over.
        endings: of names in lower case, with the dot.
        without: called with a class folder that has no such file of its own; returns what is wrong, to be raised.

    Raises:
        InputError: a class folder has no such file of its own.
    """
    files: list[tuple[Path, str]] = []
    others: list[Path] = []
    for entry in entries(path):
        if not entry.is_dir():
            others.append(entry)
            continue
        below = list(_below(entry, (path.resolve(), entry.resolve())))
        found = [file for file in below if _is_wanted(file, endings)]
        if not any(file.parent == entry for file in found):
            raise InputError(without(entry))
        files += ((file, entry.name) for file in found)
        others += (file for file in below if not _is_wanted(file, endings))
    return files, others


def entries(path: Path) -> Iterator[Path]:
    """Yield what is in the folder ``path`` by name, without hidden entries and what archives from macOS add."""
    named = sorted(path.iterdir(), key=lambda entry: entry.name)
    return (entry for entry in named if not entry.name.startswith(".") and entry.name != _OF_ARCHIVES)


def relative_names(files: Sequence[Path], path: Path) -> tuple[str, ...]:
    """Return the names of ``files`` from the folder ``path`` on."""
    return tuple(file.relative_to(path).as_posix() for file in files)


def shown(names: Sequence[str]) -> str:
    """Return the first of ``names`` and how many more there are."""
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _below(folder: Path, within: tuple[Path, ...]) -> Iterator[Path]:
    """Yield every file below ``folder``; ``within`` are the folders that it stands in and itself, without links."""
    for entry in entries(folder):
        if not entry.is_dir():
            yield entry
        elif (resolved := entry.resolve()) not in within:  # a link back up would never end
            yield from _below(entry, (*within, resolved))


def _is_wanted(path: Path, endings: Sequence[str]) -> bool:
    # reading a pipe or a device would wait for ever: they are no such files
    return path.suffix.lower() in endings and (path.is_file() or not path.exists())
