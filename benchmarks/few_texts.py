"""What students learn from few texts of each class, as in spreadsheets of intents, with recombined texts and without.

    python benchmarks/few_texts.py --seeds 3
    python benchmarks/few_texts.py --set snips --per-class 50

Each run draws texts of a public set's training split, lets ``compress`` split validation off as it does for any single file,
and reads the published test split once, by the finished file. Appends JSON lines to benchmarks/results/few_texts.jsonl.
The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fasttext_peer import read_set
from records import RESULTS, append, data_is_here, origin
from text import SETS, compress_tables

CHOSEN = ("snips", "trec", "clinc150")
BUDGET = "32KB"
RECOMBINED: tuple[int | str, ...] = ("auto", 0)


def draw(name: str, folder: Path, *, per_class: int, seed: int) -> int:
    """Write ``train.csv`` with ``per_class`` texts of each class on average, and ``test.csv``; return how many texts train has.

    Classes are as frequent as in the training split, but have two texts at least.
    """
    dataset = read_set(name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(dataset.train))
    two = np.concatenate([order[dataset.train.labels[order] == number][:2] for number in range(len(dataset.class_names))])
    rows = np.concatenate([two, order[~np.isin(order, two)]])[: per_class * len(dataset.class_names)]
    for part, examples, chosen in (("train", dataset.train, rng.permutation(rows)), ("test", dataset.test, None)):
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            for row in range(len(examples)) if chosen is None else chosen:
                writer.writerow([examples.texts[row], dataset.class_names[examples.labels[row]]])
    return len(rows)


def run(name: str, *, per_class: int, recombined: int | str, seed: int) -> dict[str, object]:
    """Return the row of one job."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = draw(name, folder, per_class=per_class, seed=seed)
        settings = {"formats": ("onnx",), "training.recombined_texts": recombined}
        family = compress_tables(folder, name=name, budget=BUDGET, seed=seed, **settings)
    [member] = family.members
    return {
        "set": name,
        "per_class": per_class,
        "recombined": recombined,
        "seed": seed,
        "texts": texts,
        "budget": BUDGET,
        "accuracy": member.accuracy,
        "taught_accuracy": member.taught_accuracy,
        "twin_accuracy": member.twin.accuracy if member.twin else None,
        "delivers_twin": member.passed_over is not None,
        "teacher": family.teacher.model_dump() if family.teacher else None,
        **origin(family, begin),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help=f"default: {', '.join(CHOSEN)}")
    parser.add_argument("--per-class", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "few_texts.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for name in arguments.set or CHOSEN:
            for recombined in RECOMBINED:
                row = run(name, per_class=arguments.per_class, recombined=recombined, seed=seed)
                append(arguments.results, row)
                print(f"{name}, {recombined} recombined, seed {seed}: {row['accuracy']:.4f}, {row['baselines']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
