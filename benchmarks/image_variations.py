"""What stronger variations of training images do for small students: RandAugment, cutout, mixup against moving and mirroring.

    python benchmarks/image_variations.py --set cifar10 --images 4000 --epochs 20 --width 16 --seeds 1 2

Each training appends one JSON line to benchmarks/results/image_variations.jsonl: accuracy on 1000 validation images that are no
part of the test split. Students are float separable CNNs, whose quantization changes nothing about the comparison.
The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from images import SETS, dataset_named
from records import RESULTS, append, command, data_is_here, machine

from understudy.data.image import ImageDataset
from understudy.settings import Variation
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import ImageCorpus
from understudy.training.loop import Lesson, train
from understudy.training.objective import Objective
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, Schedule

VALIDATION = 1000
CHOICES: tuple[tuple[Variation, ...], ...] = ((), ("rand_augment",), ("cutout",), ("rand_augment", "cutout"), ("mixup",))


def run(
    dataset: ImageDataset, variations: tuple[Variation, ...], *, images: int, epochs: int, width: int, seed: int
) -> dict[str, object]:
    """Return the row of one training."""
    safe = dataset.statistics.mirror is not None and dataset.statistics.mirror.safe
    rows = np.random.default_rng(1).permutation(len(dataset.train))[: images + VALIDATION]
    held, chosen = rows[: min(VALIDATION, len(rows) // 4)], rows[min(VALIDATION, len(rows) // 4) :][:images]
    content, labels = dataset.train.content, dataset.train.labels
    lesson = Lesson(
        views=[ImageCorpus(content[chosen], safe, variations=variations)],
        labels=labels[chosen],
        teacher_logits=None,
        validation=ImageCorpus(content[held]),
        validation_labels=labels[held],
    )
    recipe = Recipe(student="separable_cnn", width=width, hidden=4 * width, image_shape=dataset.shape)
    schedule = Schedule(
        steps=epochs * -(-len(chosen) // 64), learning_rate=1e-2, weight_decay=IMAGE_WEIGHT_DECAY, quantized_fraction=0.0
    )
    program = build_student(recipe, classes=len(dataset.class_names), seed=seed)
    begin = time.process_time()
    trained = train(program, lesson, objective=Objective(smoothing=0.1), schedule=schedule, seed=seed)
    return {
        "variations": list(variations),
        "mirrored": safe,
        "images": len(chosen),
        "validation": len(held),
        "epochs": epochs,
        "width": width,
        "weights": program.weight_count,
        "seed": seed,
        "validation_accuracy": trained.float_accuracy,
        "processor_seconds": round(time.process_time() - begin, 1),
        "machine": machine(),
    }


def main() -> None:
    """Run the trainings that the command names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="digits", choices=list(SETS))
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--choices", type=int, nargs="+", default=[*range(len(CHOICES))], help="numbers of what is tried")
    given = parser.parse_args()
    if not data_is_here():
        sys.exit(0)
    torch.set_num_threads(1)
    dataset = dataset_named(given.set)
    for seed in given.seeds:
        for variations in (CHOICES[number] for number in given.choices):
            row = run(dataset, variations, images=given.images, epochs=given.epochs, width=given.width, seed=seed)
            append(RESULTS / "image_variations.jsonl", {"set": given.set, **row, "command": command()})
            print(given.set, row["variations"], seed, row["validation_accuracy"], row["processor_seconds"], flush=True)


if __name__ == "__main__":
    main()
