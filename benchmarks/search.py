"""The search against its own first recipe at equal time, on validation: does it earn its place?

    python benchmarks/search.py --set atis --set trec

The search trains the first recipe, then brackets of candidates (``--trials``), and has the validation accuracy of the best.
The first recipe then gets as many epochs as fill the same seconds. Both without a teacher and without refit, for one format,
on an otherwise idle machine. The test split chooses nothing here. Appends JSON lines to benchmarks/results/search.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from records import RESULTS, append, command, data_is_here, machine
from text import SETS, Lines

import understudy
from understudy.family import Family, Member
from understudy.training.schedule import Schedule


def run(name: str, *, seed: int, trials: int, epochs: int | None = None) -> tuple[Family, float]:
    """Return the family of one budget and the seconds that its search took."""
    what = SETS[name]
    with tempfile.TemporaryDirectory() as out:
        family = understudy.compress(
            **what.data(),
            budgets=[what.budget],
            teacher="none",
            out=Path(out) / "family",
            progress=Lines(),
            formats=("litert",),
            trials=trials,
            seed=seed,
            name=name,
            **{"training.refit": False, "training.epochs": epochs},
        )
        searched = json.loads((Path(out) / "family" / ".understudy" / "search.json").read_text())
    return family, searched["seconds"]


def epochs_of(family: Family) -> float:
    """Return how often the training of ``family``'s student went over the texts."""
    return family.members[0].learning_curve[-1].step * Schedule().batch_size / family.data.splits["train"].examples


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS / "search.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    for name in arguments.set or SETS:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            print(f"{name}, seed {seed}", flush=True)
            first, first_seconds = run(name, seed=seed, trials=1)
            searched, seconds = run(name, seed=seed, trials=arguments.trials)
            epochs = round(epochs_of(first) * seconds / first_seconds)
            longer, longer_seconds = run(name, seed=seed, trials=1, epochs=epochs)
            best: Member = searched.members[0]
            row = {
                "set": name,
                "seed": seed,
                "budget": best.budget,
                "trials": arguments.trials,
                "first": first.members[0].validation_accuracy,
                "first_seconds": round(first_seconds),
                "search": best.validation_accuracy,
                "search_seconds": round(seconds),
                "first_longer": longer.members[0].validation_accuracy,
                "first_longer_epochs": epochs,
                "first_longer_seconds": round(longer_seconds),
                "recipe": best.recipe,
                "machine": machine(),
                "command": command(),
            }
            append(arguments.results, row)
            print(f"  search {row['search']:.4f}, first {row['first']:.4f}, first longer {row['first_longer']:.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
