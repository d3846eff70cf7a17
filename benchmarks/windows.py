"""Students for windows of numbers beside each other, in the same bytes: the table of docs/benchmarks.md.

    python benchmarks/windows.py --set fsdd --budget 5KB --student projection_rnn --seeds 1

Each run appends one JSON line to benchmarks/results/windows.jsonl. The windows are spoken digits: 64 frames of 32 log-mel
bands, as numbers. Every student is written in the formats that hold a recurrence. Choices are made on validation; the test
split is read once, by the finished files. The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from records import DATA, RESULTS, append, data_is_here, origin
from text import Lines

import understudy

FORMATS = ("onnx", "c")
STUDENTS = ("projection_rnn", "separable_cnn")
BUDGETS = ("5KB", "8KB")
Arrays = dict[str, Any]


def _published(arrays: Arrays) -> Arrays:
    return {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}


def _new_speaker(arrays: Arrays) -> Arrays:
    """Return a split by speaker: the last of the six, with all recordings, is the test."""
    parts = ("train", "test")
    x, y, speaker = (np.concatenate([arrays[f"{name}_{part}"] for part in parts]) for name in ("x", "y", "speaker"))
    last = speaker == np.unique(speaker)[-1]
    return {"x_train": x[~last], "y_train": y[~last], "x_test": x[last], "y_test": y[last]}


SETS: dict[str, Callable[[Arrays], Arrays]] = {"fsdd": _published, "fsdd, new speaker": _new_speaker}


def run(name: str, *, student: str, budget: str, seed: int) -> dict[str, object]:
    """Return the row of one job."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        with np.load(DATA / "fsdd" / "fsdd_logmel.npz") as stored:
            arrays = SETS[name]({key: stored[key] for key in stored})
        source = Path(temporary) / "windows.npz"
        # as they were before they were stored in tenths: with fractions, nothing takes them for pixels
        np.savez(source, **{key: value / np.float32(10) if key[0] == "x" else value for key, value in arrays.items()})
        family = understudy.compress(
            data=source,
            budgets=[budget],
            student=student,
            formats=list(FORMATS),
            out=Path(temporary) / "run",
            progress=Lines(),
            seed=seed,
            name="windows",
        )
    [member] = family.members
    return {
        "set": name,
        "seed": seed,
        "trials": 1,
        "budget": budget,
        "student": member.student,
        "validation_accuracy": member.validation_accuracy,
        "accuracy": {file.format: file.accuracy for file in member.files},
        "agreement": {file.format: file.agreement for file in member.files},
        "size_bytes": {file.format: file.size_bytes for file in member.files},
        "ram_bytes": member.ram_bytes,
        "weights": member.weight_count,
        "macs": member.macs,
        "test_windows": family.data.splits["test"].examples,
        "recipe": member.recipe,
        **origin(family, begin),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS))
    parser.add_argument("--budget", action="append", help=f"default: {' and '.join(BUDGETS)}")
    parser.add_argument("--student", action="append", choices=STUDENTS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "windows.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.set or SETS:
            for budget in arguments.budget or BUDGETS:
                for student in arguments.student or STUDENTS:
                    print(f"{name}, {budget}, {student}, seed {seed}", flush=True)
                    row = run(name, student=student, budget=budget, seed=seed)
                    append(arguments.results, row)
                    print(
                        f"  accuracy {row['accuracy']}, {row['size_bytes']}, {row['baselines']}, {row['seconds']} s", flush=True
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
