"""The rows of benchmarks/results, each run once, and what tells runs apart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from text import SETS

from tables.markdown import NONE, percent, sizes
from understudy.feasibility import DEFAULT_STUDENT
from understudy.units import parse_bytes

Row = Mapping[str, Any]


class Results:
    """All rows, each run once."""

    def __init__(self, folder: Path) -> None:
        self.text = latest(read(folder, "text.jsonl"), lambda row: (configuration(row), row["seed"]))
        self.fasttext = latest(
            read(folder, "fasttext.jsonl"),
            lambda row: (row["set"], row["method"], row["text"], row["limit_bytes"], row["autotune_seconds"], row["seed"]),
        )
        self.latency = latest(read(folder, "latency.jsonl"), lambda row: (row["set"], row["bundle"]))
        self.image_latency = latest(
            read(folder, "image_latency.jsonl"), lambda row: (*row["shape"], row["width"], row["hidden"])
        )
        self.executorch_latency = latest(read(folder, "executorch_latency.jsonl"), lambda row: row["network"])
        self.image_peer = latest(read(folder, "image_peer.jsonl"), lambda row: row["set"])
        self.file_overhead = read(folder, "file_overhead.jsonl")
        self.raw_text = latest(
            read(folder, "raw_text.jsonl"), lambda row: (row["set"], row["trained_on"], row["tested_on"], row["seed"])
        )
        self.search = latest(read(folder, "search.jsonl"), lambda row: (row["set"], row["trials"], row["seed"]))
        self.devices = latest(read(folder, "devices.jsonl"), lambda row: (row["set"], row["trials"], row["seed"]))
        self.projections = latest(read(folder, "projections.jsonl"), lambda row: (projection_configuration(row), row["seed"]))
        self.images = latest(read(folder, "images.jsonl"), lambda row: (image_configuration(row), row["seed"]))
        self.image_teaching = latest(
            read(folder, "image_teaching.jsonl"), lambda row: (teaching_configuration(row), row["seed"])
        )
        self.windows = latest(read(folder, "windows.jsonl"), lambda row: (window_configuration(row), row["seed"]))
        self.fuzz_bundle = latest(read(folder, "fuzz_bundle.jsonl"), lambda row: (row["bundles"], row["seed"]))
        self.fuzz_c = latest(read(folder, "fuzz_c.jsonl"), lambda row: (row["model"], row["inputs"], row["seed"]))
        self.arm_runtimes = latest(read(folder, "arm_runtimes.jsonl"), lambda row: (row["processor"], row["runtime"]))
        self.few_texts = latest(
            read(folder, "few_texts.jsonl"), lambda row: (row["set"], row["per_class"], row["recombined"], row["seed"])
        )
        self.other_sets = latest(
            read(folder, "other_sets.jsonl"), lambda row: (row["set"], row["method"], row.get("limit_bytes"), row["seed"])
        )
        self.pruned = latest(read(folder, "pruned.jsonl"), lambda row: (row["network"], row["budget"], row["seed"]))
        imports = folder / "import_time.json"
        self.import_time: Row = json.loads(imports.read_text(encoding="utf-8")) if imports.exists() else {}

    def default_runs(self) -> dict[Any, list[Row]]:
        """Return the runs of the default student at each set's own budget, by configuration."""
        rows = [
            row
            for row in self.text
            if row["student"] == DEFAULT_STUDENT and parse_bytes(row["budget"]) == parse_bytes(SETS[row["set"]].budget)
        ]
        return grouped(rows, configuration)

    def fasttext_best(self, name: str, budgets: int) -> str:
        """Return fastText's best accuracy at so many budgets, and the size of that file."""
        found = [
            row for row in self.fasttext if row["set"] == name and row["budgets"] == budgets and row["accuracy"] is not None
        ]
        if not found:
            tried = [row for row in self.fasttext if row["set"] == name and row["budgets"] == budgets]
            return "no file" if tried else NONE
        groups = grouped(found, lambda row: (row["method"], row["text"])).values()
        best = max(groups, key=lambda rows: statistics.median(row["accuracy"] for row in rows))
        return f"{percent(row['accuracy'] for row in best)} at {sizes(row['size_bytes'] for row in best)}"


def set_order(row: Row) -> tuple[int, str]:
    """Return where the row's set stands."""
    return (list(SETS).index(row["set"]) if row["set"] in SETS else len(SETS), row["set"])


def configuration(row: Row) -> tuple[Any, ...]:
    taught = row["teacher"] is not None
    return (*set_order(row), parse_bytes(row["budget"]), row["student"], row["trials"], taught, row.get("epochs") or 0)


def taught(row: Row) -> bool:
    return bool(row["teacher"] and row["teacher"]["used"])


def described(row: Row) -> str:
    """Return the configuration in words, beside the set and the budget."""
    trials = f"{row['trials']} trial" + ("s" if row["trials"] > 1 else "")
    epochs = f", {row['epochs']} epochs" if row.get("epochs") else ""
    return f"{trials}, {'taught' if taught(row) else 'no teacher'}{epochs}"


def image_configuration(row: Row) -> tuple[Any, ...]:
    taught = row["teacher"] is not None
    passes = (row["epochs"] or 0, row.get("time") or "")
    return (row["set"], parse_bytes(row["budget"]), row["student"], row["trials"], passes, taught)


def window_configuration(row: Row) -> tuple[Any, ...]:
    return (row["set"], parse_bytes(row["budget"]), row["student"], row["trials"])


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Return the rows of each key, keys in order."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return dict(sorted(groups.items()))


def read(folder: Path, name: str) -> list[Row]:
    """Return the rows of ``name``, in the file's order; none where it was not measured yet."""
    path = folder / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def latest(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """Return the last row of each key."""
    return list({key(row): row for row in rows}.values())


def projection_configuration(row: Row) -> tuple[Any, ...]:
    """Return what runs of one shape share, whatever their seed."""
    return (row["set"], row["student"], row["weights"], row["candidates"] == 0, projection_mode(row), row["steps"])


def projection_mode(row: Row) -> str:
    """Return what a projection student learned from; runs of before the weight was written down had 1."""
    if row.get("mode", "self") == "self":
        return "self"
    return f"joint, weight {row.get('teacher_weight', 1.0):g}{' falling to 0' if row.get('fades_in') else ''}"


def larger_width(row: Row) -> int:
    """Return the width of the larger network; runs of before it was written down had one width."""
    return int(row.get("larger_width", 104))


def teaching_configuration(row: Row) -> tuple[Any, ...]:
    """Return what students of one comparison share, then what the larger network had, and last the way of learning."""
    larger = (row["larger_epochs"], larger_width(row)) if row["larger"] else (0, 0)
    return (row["set"], row["images"], row["epochs"], row["width"], larger, row["way"])
