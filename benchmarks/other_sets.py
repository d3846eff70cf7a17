"""Text sets on which no default was chosen, with the defaults, beside logistic regression and fastText: docs/benchmarks.md.

    python benchmarks/other_sets.py --set trec_fine --set sgd_acts --seeds 3
    python benchmarks/other_sets.py --only fasttext           # works against the clock: on a quiet machine

Each run writes its tables from the public sets, lets ``compress`` split validation off as it does for any single file, and
reads the test texts once, by the finished files. fastText learns from the same splits, its texts lower-cased with punctuation
cut off: with 60 seconds of autotune at the same size and at ten times the size, and with few dimensions and words at the same
size. Appends JSON lines to benchmarks/results/other_sets.jsonl. The data sets stand in ../shared/data, which most machines do
not have.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import lzma
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from fasttext_peer import LARGER, FastText, fasttext_is_here, split, version
from records import DATA, RESULTS, append, command, data_is_here, machine, origin
from text import compress_tables

from understudy.data.text import load_text_dataset
from understudy.settings import DataSettings
from understudy.units import parse_bytes

BUDGET = "32KB"
MOST_TEXTS = 20_000
"""Texts that are drawn of a larger training file, so that a run takes minutes."""
AUTOTUNE_SECONDS, THREADS = 60, 2
STUDENT = "understudy"
Rows = list[tuple[str, str]]
"""Text and label."""


@dataclass(frozen=True)
class OtherSet:
    """What its labels are, and how its rows are read: from the part ``train`` or ``test``."""

    labels: str
    read: Callable[[str], Rows]


def _columns(path: Path, label: str) -> Rows:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        head, *lines = (line.rstrip("\n").split("\t") for line in stream)
    text, chosen = head.index("text"), head.index(label)
    return [(line[text], line[chosen]) for line in lines]


def _user_turns(part: str) -> Iterator[dict[str, str]]:
    with lzma.open(DATA / "sgd_part" / "dialogues.tsv.xz", "rt", encoding="utf-8", newline="\n") as stream:
        head = next(stream).rstrip("\n").split("\t")
        for line in stream:
            turn = dict(zip(head, line.rstrip("\n").split("\t"), strict=True))
            if turn["split"] == part and turn["speaker"] == "U":
                yield turn


def _acts(part: str) -> Rows:
    """Return user turns with one act, without its slots."""
    found = ((turn["text"], {act.split(":")[0] for act in turn["acts"].split()}) for turn in _user_turns(part))
    return [(text, acts.pop()) for text, acts in found if len(acts) == 1]


def _domains(part: str) -> Rows:
    """Return user turns that begin a task, with its domain."""
    return [
        (turn["text"], turn["service"].split("_")[0]) for turn in _user_turns(part) if turn["acts"].startswith("INFORM_INTENT")
    ]


def _openings(part: str) -> Rows:
    """Return the first turns of dialogues, with what the dialogue is about."""
    with lzma.open(DATA / "self_dialogue" / "dialogues.tsv.xz", "rt", encoding="utf-8", newline="\n") as stream:
        head = next(stream).rstrip("\n").split("\t")
        turns = [dict(zip(head, line.rstrip("\n").split("\t"), strict=True)) for line in stream]
    return [(turn["text"], turn["topic"]) for turn in turns if turn["split"] == part and turn["turn"] == "0"]


def _news(part: str) -> Rows:
    return _columns(DATA / "ag_news_part" / ("train_subset.tsv.gz" if part == "train" else "test.tsv.gz"), "label")


SETS = {
    "trec_fine": OtherSet("fine question types", lambda part: _columns(DATA / "trec" / f"{part}.tsv.gz", "fine")),
    "sgd_acts": OtherSet("dialogue acts", _acts),
    "sgd_domains": OtherSet("domains of requests", _domains),
    "openings": OtherSet("topics of conversations", _openings),
    "ag_news": OtherSet("topics of news", _news),
    "sst2": OtherSet("sentiment", lambda part: _columns(DATA / "sst2" / f"{part}.tsv.gz", "label")),
}


def write(name: str, folder: Path, *, seed: int) -> dict[str, int]:
    """Write ``train.csv`` and ``test.csv``; return how many texts each has."""
    counts = {}
    for part in ("train", "test"):
        rows = SETS[name].read(part)
        if part == "train" and len(rows) > MOST_TEXTS:
            chosen = np.random.default_rng(seed).choice(len(rows), MOST_TEXTS, replace=False)
            rows = [rows[number] for number in sorted(chosen)]
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows])
        counts[part] = len(rows)
    return counts


def run(name: str, *, seed: int) -> dict[str, object]:
    """Return the row of one job."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        folder = Path(temporary)
        texts = write(name, folder, seed=seed)
        family = compress_tables(folder, name=name, budget=BUDGET, seed=seed)
    [member] = family.members
    return {
        "set": name,
        "method": STUDENT,
        "labels": SETS[name].labels,
        "classes": len(family.data.class_names),
        "seed": seed,
        "texts": texts,
        "budget": BUDGET,
        "accuracy": min(file.accuracy for file in member.files),
        "size_bytes": max(file.size_bytes for file in member.files),
        "agreement": min(file.agreement for file in member.files),
        "twin_accuracy": member.twin.accuracy if member.twin else None,
        "delivers_twin": member.passed_over is not None,
        "teacher": family.teacher.model_dump() if family.teacher else None,
        **origin(family, begin),
    }


def peers(name: str, *, seed: int) -> Iterator[dict[str, object]]:
    """Yield a row for each model that fastText makes of the texts of a job, with the job's validation texts."""
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        folder = Path(temporary)
        write(name, folder, seed=seed)
        settings = DataSettings(train=folder / "train.csv", test=folder / "test.csv", text="text", label="label")
        dataset = load_text_dataset(settings, seed=seed)
        peer = FastText(dataset, folder, write=split, threads=THREADS, seed=seed)
        budget_bytes = parse_bytes(BUDGET)
        for method, limit_bytes in (("autotune", budget_bytes), ("pruned", budget_bytes), ("autotune", LARGER * budget_bytes)):
            begin = time.monotonic()
            trained = (
                peer.autotune(f"tuned{limit_bytes}", seconds=AUTOTUNE_SECONDS, limit_bytes=limit_bytes)
                if method == "autotune"
                else peer.pruned("pruned", limit_bytes=limit_bytes)
            )
            model = trained.model
            yield {
                "set": name,
                "method": method,
                "seed": seed,
                "budget": BUDGET,
                "limit_bytes": limit_bytes,
                "size_bytes": model and model.stat().st_size,
                "accuracy": model and peer.accuracy(model, dataset.test),
                "error": trained.error,
                "threads": THREADS,
                "fasttext": version(),
                "seconds": round(time.monotonic() - begin),
                "command": command(),
                "machine": machine(),
            }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--only", choices=("students", "fasttext"), help="default: both")
    parser.add_argument("--results", type=Path, default=RESULTS / "other_sets.jsonl")
    arguments = parser.parse_args()
    if not data_is_here() or not (arguments.only == "students" or fasttext_is_here()):
        return 1
    for name in arguments.set or SETS:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            print(f"{name}, seed {seed}", flush=True)
            students = () if arguments.only == "fasttext" else (run(name, seed=seed),)
            for row in chain(students, () if arguments.only == "students" else peers(name, seed=seed)):
                append(arguments.results, row)
                print(f"  {row['method']}: accuracy {row['accuracy']}, {row['size_bytes']} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
