"""One JSON line for each measurement, with the machine and the command; imported by the other scripts."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.family import Family

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results"


def data_is_here() -> bool:
    """Return whether the public data sets are on this machine; print where they would be if not."""
    if not DATA.is_dir():
        print(f"the data sets stand in {DATA.relative_to(REPOSITORY.parent)} beside the repository, and are not there")
    return DATA.is_dir()


def machine() -> str:
    """Return architecture and number of cores, as benchmarks/text.py writes them."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def command() -> str:
    """Return the command that is running; of paths only the last part, because folders of one machine say nothing."""
    given = sys.argv[1:]
    for option in ("--results", "--work", "--out"):  # where files are kept decides no figure
        if option in given:
            at = given.index(option)
            del given[at : at + 2]
    words = [Path(word).name if "/" in word else word for word in given]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def origin(family: Family, begin: float) -> dict[str, object]:
    """Return what every row of a job ends with: baselines, version, seconds since ``begin``, command and machine."""
    return {
        "baselines": {baseline.name: baseline.accuracy for baseline in family.baselines},
        "understudy": family.created_with.understudy,
        "seconds": round(time.monotonic() - begin),
        "command": command(),
        "machine": machine(),
    }


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add ``row`` to the JSON lines in ``path``."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
