"""Accuracy of delivered image models on public data sets, every format, several seeds: the table of docs/benchmarks.md.

    python benchmarks/images.py --set mnist --budget 4KB --seeds 1

Each run appends one JSON line to benchmarks/results/images.jsonl. Choices are made on validation; the test split is read once,
by the finished files. Beside them stand logistic regression on pixels and a plain convolutional network in float, trained here
on the same images. The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import lzma
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from records import DATA, RESULTS, append, command, data_is_here, machine
from text import Lines
from torch import nn

import understudy
from understudy.data.image import ImageDataset, load_image_dataset
from understudy.family import Family
from understudy.formats import DEFAULT_FORMATS
from understudy.settings import DataSettings

PLAIN_EPOCHS, PLAIN_BATCH = 5, 64


@dataclass(frozen=True)
class ImageSet:
    """A data set with its published test split, or without one, and what was asked for at each budget.

    Attributes:
        source: from an empty folder to what ``understudy.compress`` reads; it may write there.
        targets: budget to accuracy; None where none was asked for.
        formats: of a budget that is not for the default ones.
        default: measured without being named; the others take hours.
        judged_on: splits on which the target has to be reached; validation images are training images that were held out, and
            what is judged on them must not learn them at last.
    """

    source: Callable[[Path], Path]
    targets: dict[str, float | None]
    formats: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default: bool = True
    judged_on: tuple[str, ...] = ("test",)


def _cifar10(folder: Path) -> Path:
    """Return an NPZ of the training images and the first 1000 test images, which are stored as differences."""

    def images(name: str) -> Any:
        content = lzma.decompress((DATA / "cifar10" / f"{name}.delta.xz").read_bytes())
        packed = np.frombuffer(content, np.uint8).reshape(-1, 3, 32, 32)
        planes = np.cumsum(np.cumsum(packed, -1, dtype=np.uint8), -2, dtype=np.uint8)
        planes[:, 0] += planes[:, 1]
        planes[:, 2] += planes[:, 1]
        return planes.transpose(0, 2, 3, 1)

    labels = np.load(DATA / "cifar10" / "labels.npz")
    train = np.concatenate([images(f"train_{part}") for part in range(1, 6)])
    path = folder / "cifar10.npz"
    np.savez(path, x_train=train, y_train=labels["y_train"], x_test=images("test_first1000"), y_test=labels["y_test1000"])
    return path


SETS = {
    "digits": ImageSet(lambda _: DATA / "digits" / "digits.npz", {"8KB": None}),
    # 3.2 KB of constants are asked for in C, whose code takes 1458 bytes for a narrow plain CNN and 1977 for a separable one
    "mnist": ImageSet(
        lambda _: DATA / "mnist",
        {"8KB": 0.99, "4KB": 0.985, "4735B": 0.99, "5253B": 0.99},
        formats={"4735B": ("c",), "5253B": ("c",)},
    ),
    "fashion_mnist": ImageSet(lambda _: DATA / "fashion_mnist", {"32KB": 0.925}),
    # spoken digits as log-mel pictures, for which students of WAV files need operators: they leave 11 KB of 16 KB in LiteRT
    "fsdd": ImageSet(lambda _: DATA / "fsdd" / "fsdd_logmel.npz", {"16KB": 0.97, "11KB": 0.97}),
    "cifar10": ImageSet(_cifar10, {"96KB": 0.90}, default=False, judged_on=("test", "validation")),
}


def dataset_named(name: str) -> ImageDataset:
    """Return the images of the set ``name``; where it has no validation split, seed 1 holds images out."""
    with tempfile.TemporaryDirectory() as folder:
        return load_image_dataset(DataSettings(train=SETS[name].source(Path(folder))), seed=1)


def run(
    name: str,
    *,
    seed: int,
    budget: str,
    student: str,
    trials: int | None,
    epochs: int | None,
    limit: str | None,
    precision: str,
    out: Path | None,
) -> dict[str, object]:
    """Return the row of one job; in a folder ``out`` a job that was stopped goes on."""
    begin = time.monotonic()
    # within a time the job is as users run it: what is judged on validation is from before the refit, and so is its accuracy
    refit = limit is not None or "validation" not in SETS[name].judged_on
    with tempfile.TemporaryDirectory() as temporary:
        source = SETS[name].source(Path(temporary))
        family = understudy.compress(
            data=source,
            budgets=[budget],
            out=(out or Path(temporary)) / f"{name}-{budget}-{seed}",
            progress=Lines(),
            formats=SETS[name].formats.get(budget, DEFAULT_FORMATS),
            student=student,
            trials=trials,
            time=limit,
            seed=seed,
            name=name,
            **{"training.precision": precision, "training.refit": refit},
            **({} if epochs is None else {"training.epochs": epochs}),
        )
        seconds = time.monotonic() - begin
        plain = plain_network(load_image_dataset(DataSettings(train=source), seed=seed), seed=seed)
    asked = {"set": name, "seed": seed, "trials": trials or 1, "epochs": epochs, "target": SETS[name].targets.get(budget)}
    asked |= {"judged_on": SETS[name].judged_on, "time": limit, "passes": family.job["training"]["epochs"]}
    return {**asked, **_row(family), "plain": plain, "seconds": round(seconds), "command": command(), "machine": machine()}


def _row(family: Family) -> dict[str, object]:
    """Return what the one member of ``family`` reached."""
    [member] = family.members
    return {
        "budget": member.budget,
        "student": member.student,
        "validation_accuracy": member.validation_accuracy,
        "accuracy": {file.format: file.accuracy for file in member.files},
        "agreement": {file.format: file.agreement for file in member.files},
        "size_bytes": {file.format: file.size_bytes for file in member.files},
        "c_constants_bytes": sum(row.bytes for row in member.byte_table["c"] if not row.where.startswith("code")),
        "latency_us": {file.format: file.latency_us.median for file in member.files if file.latency_us},
        "test_images": family.data.splits["test"].examples,
        "variations": family.data.variations,
        "trained_on": member.trained_on,
        "teacher": family.teacher.model_dump(mode="json") if family.teacher else None,
        "baselines": {baseline.name: baseline.accuracy for baseline in family.baselines},
        "weights": member.weight_count,
        "macs": member.macs,
        "recipe": member.recipe,
        "learning_curve": [point.model_dump(mode="json") for point in member.learning_curve],
        "understudy": family.created_with.understudy,
    }


def plain_network(dataset: ImageDataset, *, seed: int) -> dict[str, float]:
    """Return accuracy on test and bytes in float32 of a plain network: two convolutions with pools, one layer of classes."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    height, width, channels = dataset.shape
    network = nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), len(dataset.class_names)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    learned = dataset.labelled

    def seen(pixels: Any) -> torch.Tensor:
        return torch.from_numpy(pixels.astype(np.float32) / max(1, learned.content.max())).permute(0, 3, 1, 2)

    for _ in range(PLAIN_EPOCHS):
        for rows in torch.randperm(len(learned)).split(PLAIN_BATCH):
            loss = nn.functional.cross_entropy(network(seen(learned.content[rows])), torch.from_numpy(learned.labels)[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        parts = [network(seen(dataset.test.content[i : i + 500])).argmax(1).numpy() for i in range(0, len(dataset.test), 500)]
    size_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    return {"accuracy": float((np.concatenate(parts) == dataset.test.labels).mean()), "size_bytes": size_bytes}


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: all that do not take hours")
    parser.add_argument("--budget", action="append", help="default: those with a target")
    parser.add_argument("--student", default="auto", help="default: what the search chooses")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--epochs", type=int, help="passes over the images; default: what ends in minutes")
    parser.add_argument("--time", dest="limit", help="for all trainings, as 15m; default: none")
    parser.add_argument("--precision", default="auto", help="of float steps: float32 or bfloat16; default: the job's own")
    parser.add_argument("--out", type=Path, help="keep the jobs here; a stopped one goes on")
    parser.add_argument("--results", type=Path, default=RESULTS / "images.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    names = arguments.set or [name for name, what in SETS.items() if what.default]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    jobs = [(name, budget, seed) for seed in seeds for name in names for budget in arguments.budget or SETS[name].targets]
    for name, budget, seed in jobs:
        print(f"{name}, {budget}, seed {seed}", flush=True)
        asked = {option: getattr(arguments, option) for option in ("student", "trials", "epochs", "limit", "precision", "out")}
        row = run(name, seed=seed, budget=budget, **asked)
        append(arguments.results, row)
        print(f"  accuracy {row['accuracy']}, plain {row['plain']}, {row['baselines']}, {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
