"""Accuracy of delivered text models on public data sets, every format, several seeds: the table of docs/benchmarks.md.

    python benchmarks/text.py --set atis --set snips --seeds 3

Each run appends one JSON line to benchmarks/results/text.jsonl. Choices are made on validation; the test split is read once, by
the finished files. The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import understudy
from understudy.family import Family
from understudy.progress import SilentProgress

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "text.jsonl"


@dataclass(frozen=True)
class TextSet:
    """A data set with its published split; without a validation file a tenth of train is split off."""

    folder: str
    label: str
    budget: str
    target: float
    validation: str | None

    def data(self) -> dict[str, Any]:
        """Return files and columns as arguments of ``understudy.compress``."""
        folder = DATA / self.folder
        return {
            "data": folder / "train.tsv.gz",
            "test": folder / "test.tsv.gz",
            "validation": folder / f"{self.validation}.tsv.gz" if self.validation else None,
            "text": "text",
            "label": self.label,
        }


SETS = {
    "atis": TextSet("atis", "intent", "16KB", 0.97, "valid"),
    "snips": TextSet("snips", "intent", "16KB", 0.98, "valid"),
    "clinc150": TextSet("clinc150", "intent", "100KB", 0.93, "val"),
    "swda": TextSet("swda", "act", "100KB", 0.73, "val"),
    "trec": TextSet("trec", "coarse", "32KB", 0.92, None),
}


class Lines(SilentProgress):
    """Prints stages and notes."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def stage(self, name: str, total: int | None = None) -> None:  # noqa: ARG002 - Progress gives it
        """Print the seconds so far and the stage."""
        print(f"  [{time.monotonic() - self.begin:5.0f} s] {name}", flush=True)

    def note(self, message: str) -> None:
        """Print the line."""
        if not message.startswith(("largest", "text length", "examples")):
            print(f"      {message}", flush=True)


def compress_tables(folder: Path, *, name: str, budget: str, seed: int, **settings: Any) -> Family:
    """Return the family of ``train.csv`` in ``folder``, measured on ``test.csv`` there."""
    return understudy.compress(
        data=folder / "train.csv",
        test=folder / "test.csv",
        budgets=[budget],
        out=folder / "run",
        progress=Lines(),
        seed=seed,
        name=name,
        **settings,
    )


def run(
    name: str, *, seed: int, budget: str | None, student: str, trials: int | None, teacher: str, epochs: int | None
) -> dict[str, object]:
    """Return the row of one job."""
    what = SETS[name]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        family = understudy.compress(
            **what.data(),
            budgets=[budget or what.budget],
            teacher=teacher,
            out=Path(out) / "family",
            progress=Lines(),
            out_of_scope=DATA / what.folder / "oos_test.tsv.gz" if name == "clinc150" else None,
            student=student,
            trials=trials,
            seed=seed,
            name=name,
            **{"training.epochs": epochs},
        )
    [member] = family.members
    return {
        "set": name,
        "seed": seed,
        "budget": member.budget,
        "student": member.student,
        "trials": trials or 1,
        "epochs": epochs,
        "validation_accuracy": member.validation_accuracy,
        "twin_validation_accuracy": member.twin.validation_accuracy if member.twin else None,
        "accuracy": {file.format: file.accuracy for file in member.files},
        "agreement": {file.format: file.agreement for file in member.files},
        "size_bytes": {file.format: file.size_bytes for file in member.files},
        "latency_us": {file.format: file.latency_us.median for file in member.files if file.latency_us},
        "macro_f1": member.macro_f1,
        "twin_accuracy": member.twin.accuracy if member.twin else None,
        "taught_accuracy": member.taught_accuracy if member.twin else None,
        "delivers_twin": member.passed_over is not None,
        "teacher": family.teacher.model_dump() if family.teacher else None,
        "baselines": {baseline.name: baseline.accuracy for baseline in family.baselines},
        "auroc": member.out_of_scope.auroc if member.out_of_scope else None,
        "weights": member.weight_count,
        "recipe": member.recipe,
        "seconds": round(time.monotonic() - begin),
        "machine": f"{platform.machine()}, {family.created_with.machine.cpu_count} cores",
        "understudy": family.created_with.understudy,
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--budget")
    parser.add_argument("--student", default="auto")
    parser.add_argument("--teacher", default="auto")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--epochs", type=int, help="passes over the texts; default: what their number suggests")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"the data sets stand in {DATA.relative_to(REPOSITORY.parent)} beside the repository, and are not there")
        return 1
    for name in arguments.set or SETS:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            print(f"{name}, seed {seed}", flush=True)
            row = run(
                name,
                seed=seed,
                budget=arguments.budget,
                student=arguments.student,
                trials=arguments.trials,
                teacher=arguments.teacher,
                epochs=arguments.epochs,
            )
            with arguments.results.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(f"  accuracy {row['accuracy']}, twin {row['twin_accuracy']}, {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
