"""The output folder of a job, and the state in it that lets a second run go on.

::

    <out>/
      family.json, report.html, <budget>/…     what the user gets
      .understudy/
        job.json       whose folder this is
        lesson/        texts, labels and teacher answers as the workers read them
        results/       one file for each finished training, one checkpoint for each unfinished one
        teacher/       answers of the teacher, by content
        search.json    rounds and seconds that the search has used
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from understudy.errors import InputError, SetupError
from understudy.files import write_text

STATE = ".understudy"


@dataclass(frozen=True)
class JobFolder:
    """An output folder that belongs to one job."""

    path: Path

    @property
    def state(self) -> Path:
        """Folder of everything that only serves to go on."""
        return self.path / STATE

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

    def seconds_searched(self) -> float:
        """Return the seconds that earlier runs spent on the search."""
        path = self.state / "search.json"
        return float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0

    def record_seconds(self, seconds: float) -> None:
        """Keep the seconds that the search has used so far."""
        write_text(self.state / "search.json", json.dumps({"seconds": seconds}))


def claim(path: Path, identity: dict[str, str]) -> JobFolder:
    """Return ``path`` as the folder of the job that ``identity`` names, made when it is missing.

    Raises:
        InputError: the folder holds another job, or something else.
        SetupError: the folder cannot be made or written.
    """
    mark = path / STATE / "job.json"
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
        return JobFolder(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"an output folder is new, empty, or of the same job: received out={str(path)!r}, which holds something else; "
            "choose another --out"
        )
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"the output folder must be writable: received out={str(path)!r} ({error.strerror}); choose another --out"
        ) from error
    if not os.access(path, os.W_OK):
        raise SetupError(f"the output folder must be writable: received out={str(path)!r}; choose another --out")
    write_text(mark, json.dumps(identity, indent=1))
    return JobFolder(path)
