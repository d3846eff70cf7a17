"""What a training step of image students takes in float32 and in bfloat16: the table of docs/adr/0032.

    python benchmarks/image_precision.py

One thread, batches of 64 images of noise, both precisions in turn, the least of several rounds. Each run appends one JSON line
for each student to benchmarks/results/image_precision.jsonl. Without units for bfloat16 the times say why float32 stays.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from records import RESULTS, append, command, machine

from understudy.program.cost import macs
from understudy.program.ops import Program
from understudy.settings import Precision
from understudy.student_names import StudentName
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import ImageCorpus
from understudy.training.loop import Lesson, train
from understudy.training.objective import Objective
from understudy.training.processor import has_bfloat16_units, processor_for
from understudy.training.schedule import Schedule

CLASSES, IMAGES = 10, 640
FEW_STEPS, STEPS = 10, 60
STUDENTS: tuple[tuple[StudentName, tuple[int, int, int], int], ...] = (
    ("plain_cnn", (28, 28, 1), 28),
    ("plain_cnn", (32, 32, 3), 32),
    ("plain_cnn", (28, 28, 1), 60),
    ("plain_cnn", (32, 32, 3), 56),
    ("plain_cnn", (32, 32, 3), 72),
    ("plain_cnn", (32, 32, 3), 104),
    ("plain_cnn", (32, 32, 3), 152),
    ("separable_cnn", (32, 32, 3), 48),
    ("separable_cnn", (32, 32, 3), 96),
)


def seconds(program: Program, lesson: Lesson, *, steps: int, precision: Precision) -> float:
    """Return how long ``steps`` training steps of ``program`` take, with what comes before the first and behind the last."""
    schedule = Schedule(steps=steps, dropout=0.0, quantized_fraction=0.0)
    begin = time.monotonic()
    train(program, lesson, objective=Objective(), schedule=schedule, seed=1, processor=processor_for("cpu", precision))
    return time.monotonic() - begin


def main() -> None:
    """Time every student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS / "image_precision.jsonl")
    given = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(1)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for student, shape, width in STUDENTS:
        pixels = random.integers(0, 256, (IMAGES, *shape), np.uint8)
        labels = random.integers(0, CLASSES, IMAGES)
        corpus = ImageCorpus(pixels)
        few = ImageCorpus(pixels[:CLASSES])  # points of the learning curve take next to nothing
        lesson = Lesson([corpus], labels, teacher_logits=None, validation=few, validation_labels=labels[:CLASSES])
        recipe = Recipe(
            student=student, width=width, hidden=width * (3 if student == "separable_cnn" else 1), image_shape=shape
        )
        program = build_student(recipe, classes=CLASSES, seed=1)
        least = dict.fromkeys(product(precisions, (FEW_STEPS, STEPS)), float("inf"))
        for _ in range(given.rounds):
            for precision, steps in least:
                taken = seconds(program, lesson, steps=steps, precision=precision)
                least[precision, steps] = min(least[precision, steps], taken)
        in_float32, in_bfloat16 = (
            1000 * (least[each, STEPS] - least[each, FEW_STEPS]) / (STEPS - FEW_STEPS) for each in precisions
        )
        row = {
            "student": student,
            "image_shape": shape,
            "width": width,
            "macs": macs(program),
            "float32_ms": round(in_float32, 1),
            "bfloat16_ms": round(in_bfloat16, 1),
            "bfloat16_units": has_bfloat16_units(),
            "rounds": given.rounds,
            "machine": machine(),
        }
        append(given.results, {**row, "command": command()})
        print(f"{student} {shape} {macs(program):,} MACs: {in_float32:.1f} ms, {in_bfloat16:.1f} ms in bfloat16")


if __name__ == "__main__":
    main()
