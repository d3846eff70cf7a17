"""What decides how well a student of images learns in a given number of passes: Muon or AdamW alone, when rounding begins.

    python benchmarks/image_training.py --set cifar10 --width 104 --epochs 6 --rates 0 1 2 4 --quantized 0

Each training appends one JSON line to benchmarks/results/image_training.jsonl: accuracy on the validation images of the float
program and of the rounded one, and the seconds it took on one thread. The test split is not read.
The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import torch
from images import SETS, dataset_named
from records import RESULTS, append, command, data_is_here, machine

from understudy.data.image import ImageDataset
from understudy.program.executor import Executor
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training import loop, optimizer
from understudy.training.corpus import ImageCorpus
from understudy.training.objective import Objective
from understudy.training.optimizer import Optimizer, optimizer_for
from understudy.training.processor import processor_for
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, Schedule

LEARNING_RATE = 9e-3


def run(
    dataset: ImageDataset, recipe: Recipe, *, rate: float, quantized: float, epochs: float, precision: str, seed: int
) -> dict[str, object]:
    """Return the row of one training; at ``rate`` 0 AdamW has all weights, scales among them."""
    safe = dataset.statistics.mirror is not None and dataset.statistics.mirror.safe
    lesson = loop.Lesson(
        views=[ImageCorpus(dataset.train.content, safe)],
        labels=dataset.train.labels,
        teacher_logits=None,
        validation=ImageCorpus(dataset.validation.content),
        validation_labels=dataset.validation.labels,
    )
    schedule = Schedule(
        steps=round(epochs * -(-len(dataset.train) // 64)),
        learning_rate=LEARNING_RATE,
        weight_decay=IMAGE_WEIGHT_DECAY,
        dropout=0.0,
        quantized_fraction=quantized,
    )
    optimizer.MATRIX_RATE = rate
    loop.optimizer_for = optimizer_for if rate else _adamw_alone
    program = build_student(recipe, classes=len(dataset.class_names), seed=seed)
    processor = processor_for("cpu", precision)
    trained = loop.train(program, lesson, objective=Objective(), schedule=schedule, seed=seed, processor=processor)
    return {
        "student": recipe.student,
        "width": recipe.width,
        "weight_bits": recipe.weight_bits,
        "weights": program.weight_count,
        "epochs": epochs,
        "matrix_rate": rate,
        "quantized_fraction": quantized,
        "precision": precision,
        "seed": seed,
        "validation_images": len(dataset.validation),
        "float_accuracy": trained.float_accuracy,
        "rounded_accuracy": trained.validation_accuracy,
        "seconds": round(trained.seconds),
        "machine": machine(),
    }


def _adamw_alone(executor: Executor, _: object, schedule: Schedule) -> Optimizer:
    return Optimizer([{"params": list(executor.parameters()), "peak": schedule.learning_rate}], [], schedule)


def main() -> None:
    """Run the trainings that the command names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="cifar10", choices=list(SETS))
    parser.add_argument("--student", default="plain_cnn", choices=["plain_cnn", "separable_cnn"])
    parser.add_argument("--width", type=int, default=104)
    parser.add_argument("--hidden", type=int, help="default: the width")
    parser.add_argument("--weight-bits", type=int, default=8, choices=[4, 8])
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--rates", type=float, nargs="+", default=[0, optimizer.MATRIX_RATE], help="of Muon, times AdamW's")
    parser.add_argument("--quantized", type=float, nargs="+", default=[0.0], help="shares of the steps that round")
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--results", type=Path, default=RESULTS / "image_training.jsonl")
    given = parser.parse_args()
    if not data_is_here():
        sys.exit(0)
    torch.set_num_threads(1)
    dataset = dataset_named(given.set)
    recipe = Recipe(
        student=given.student,
        width=given.width,
        hidden=given.hidden or given.width,
        weight_bits=given.weight_bits,
        image_shape=dataset.shape,
    )
    for seed, rate, quantized in product(given.seeds, given.rates, given.quantized):
        asked = {"rate": rate, "quantized": quantized, "epochs": given.epochs, "precision": given.precision}
        row = run(dataset, recipe, seed=seed, **asked)
        append(given.results, {"set": given.set, **row, "command": command()})
        print(given.set, f"rate {rate}, rounds {quantized}, seed {seed}:", row["float_accuracy"], row["rounded_accuracy"])


if __name__ == "__main__":
    main()
