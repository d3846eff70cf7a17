"""The output folder of a job, and the state in it that lets a second run go on.

::

    <out>/
      family.json, report.html, <budget>/…     what the user gets
      .understudy/
        job.json       whose folder this is, and its budgets
        lesson/        texts, labels and teacher answers as the workers read them
        teacher-lesson/ the same for the networks of a teacher that is trained here
        results/       one file for each finished training, one checkpoint for each unfinished one
        teacher/       answers of the teacher, by content
        plain/         with --encrypt: the bundles as they were before that
        latency.json   how long students take on the target of --max-latency, as the first run found it
        search.json    how far the search is
        lock           held by the run that is at work
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from understudy.errors import InputError, SetupError, TeacherError, UnderstudyError
from understudy.files import write_text

STATE = ".understudy"


@dataclass(frozen=True)
class Searched:
    """How far the search of a job is.

    Attributes:
        seconds: used so far.
        trials: of each budget that were begun.
        epochs: passes over the examples where the usual ones were too many for the job's time.
    """

    seconds: float = 0.0
    trials: int = 0
    epochs: int | None = None


@dataclass(frozen=True)
class JobFolder:
    """An output folder that belongs to one job."""

    path: Path

    @property
    def state(self) -> Path:
        """Folder of everything that only serves to go on."""
        return self.path / STATE

    @property
    def mark(self) -> Path:
        """File that says whose folder this is."""
        return self.state / "job.json"

    @property
    def lesson(self) -> Path:
        """Folder of the ``LessonStore``."""
        return self.state / "lesson"

    @property
    def results(self) -> Path:
        """Folder of finished trainings and checkpoints."""
        return self.state / "results"

    @property
    def teacher(self) -> Path:
        """Folder of cached teacher answers."""
        return self.state / "teacher"

    @property
    def plain(self) -> Path:
        """Folder of the bundles that the encrypted ones are copies of."""
        return self.state / "plain"

    @property
    def latency(self) -> Path:
        """File of the ``LatencyModel``."""
        return self.state / "latency.json"

    def searched(self) -> Searched:
        """Return how far earlier runs came."""
        path = self.state / "search.json"
        return Searched(**json.loads(path.read_text())) if path.exists() else Searched()

    def record_search(self, searched: Searched) -> None:
        """Keep how far the search is."""
        write_text(self.state / "search.json", json.dumps(asdict(searched)))


@contextmanager
def claim(path: Path, identity: Mapping[str, str], *, budgets: Sequence[str] = ()) -> Iterator[JobFolder]:
    """Yield ``path`` as the folder of the job that ``identity`` names, made when it is missing; no other run may use it.

    A job that comes back may have more ``budgets`` than before, and none less: what was delivered stays part of the family.
    An error before anything was trained leaves no trace of a folder that was made here, but for answers of a teacher whose code
    failed among them: they may have cost hours.

    Raises:
        InputError: the folder holds another job, a budget that is not named any more, or something else.
        SetupError: the folder cannot be made or written, or another run is using it.
    """
    check_owner(path, identity, budgets=budgets)
    folder = JobFolder(path)
    known = folder.mark.exists()
    made = [each for each in (folder.state, path, *path.parents) if not each.exists()]
    try:
        folder.state.mkdir(parents=True, exist_ok=True)
        lock = (folder.state / "lock").open("w")
    except OSError as error:
        _remove_empty(made)
        raise SetupError(
            f"the output folder must be writable: received out={str(path)!r} ({error.strerror}); choose another --out"
        ) from error
    with lock:
        _lock(lock, path)
        try:
            _sweep(folder)
            write_text(folder.mark, json.dumps({**identity, "budgets": list(budgets)}, indent=1))
            yield folder
        except (UnderstudyError, OSError) as error:
            answered = isinstance(error, TeacherError) and _holds_files(folder.teacher)
            if not known and not answered and not _holds_files(folder.results):
                shutil.rmtree(folder.state, ignore_errors=True)
                _remove_empty(made)
            raise


def check_owner(path: Path, identity: Mapping[str, str], *, budgets: Sequence[str]) -> None:
    """Check that ``path`` is missing, empty or of the job that ``identity`` names, with these ``budgets``.

    What ``identity`` lacks, because it is not known yet, is not compared.

    Raises:
        InputError: the folder holds another job, a budget that is not named any more, or something else.
    """
    mark = JobFolder(path).mark
    if mark.exists():
        try:
            known = json.loads(mark.read_text())
        except ValueError:
            known = {}
        different = sorted(key for key in identity if known.get(key) != identity[key])
        if different:
            raise InputError(
                f"an output folder belongs to one job: received out={str(path)!r}, which holds another one "
                f"(different: {', '.join(different)}); choose another --out or delete the folder"
            )
        gone = [budget for budget in known.get("budgets", ()) if budget not in budgets]
        if gone:
            raise InputError(
                f"budgets may be added to an output folder, and stay: received budgets={list(budgets)} for out={str(path)!r}, "
                f"which has {', '.join(gone)} too; name all of them, or choose another --out"
            )
    # a run that was killed before it wrote the mark leaves nothing but the state's folder
    elif path.exists() and (not path.is_dir() or any(entry.name != STATE for entry in path.iterdir())):
        raise InputError(
            f"an output folder is new, empty, or of the same job: received out={str(path)!r}, which holds something else; "
            "choose another --out"
        )


def _lock(stream: IO[str], path: Path) -> None:
    """Hold ``stream``'s file until it is closed; the system lets go of it when the process dies, however it dies."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SetupError(
            f"an output folder is used by one run at a time: received out={str(path)!r}, where another run is at work; "
            "wait for it or choose another --out"
        ) from error
    except OSError as error:
        raise SetupError(
            f"the output folder must be on a disk with file locks: received out={str(path)!r} ({error.strerror}); "
            "choose another --out"
        ) from error


def _sweep(folder: JobFolder) -> None:
    """Remove what a killed run was writing."""
    for leftover in [*folder.path.glob(".*.part"), *folder.state.rglob(".*.part")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove ``folders``, the innermost first; what is not there or not empty stays."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
