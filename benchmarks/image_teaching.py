"""What a larger network brings to a small student of images: its answers, on which copies, or its strongest channels.

    python benchmarks/image_teaching.py --set cifar10 --images 5000 --seeds 1 2 3

The larger network is a plain CNN that learns here from the same images. Beside a student that learns from labels alone stand
one that is taught as a job does it (the answers on the unaltered images, whatever copy the student sees), one that shares
eight fixed copies with its teacher, one beside which the job's own wide network learns, and one that begins from the larger
network's strongest channels, so that sizes share work. All take the same steps. Each training appends one JSON line to
benchmarks/results/image_teaching.jsonl: accuracy of the rounded student on 2000 training images that are held out. The test
split is not read. The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from images import SETS, dataset_named
from records import RESULTS, append, command, data_is_here, machine

from understudy.program.executor import Executor, evaluate
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.corpus import ImageCorpus
from understudy.training.inheritance import strongest_channels
from understudy.training.loop import Lesson, Trained, train
from understudy.training.objective import Objective, teacher_term
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, PLAIN_QUANTIZED_FRACTION, Schedule
from understudy.training.task import trainer_recipe
from understudy.training.trainer import WideNetwork

VALIDATION = 2000
COPIES = 8
LEARNING_RATE = 9e-3
BATCH = 512
WAYS = ("alone", "taught", "taught on shared copies", "joint", "from the larger network's channels")
UInt8Array = npt.NDArray[np.uint8]


class Comparison:
    """One larger network, and students that have something of it or nothing."""

    def __init__(
        self, name: str, *, images: int, epochs: int, larger_epochs: int, width: int, larger_width: int, seed: int
    ) -> None:
        dataset = dataset_named(name)
        rows = np.random.default_rng(1).permutation(len(dataset.train))
        held = rows[: min(VALIDATION, len(rows) // 4)]
        chosen = rows[len(held) :][:images]
        self.pixels, self.labels = dataset.train.content[chosen], dataset.train.labels[chosen]
        self.held, self.held_labels = dataset.train.content[held], dataset.train.labels[held]
        self.mirrored = dataset.statistics.mirror is not None and dataset.statistics.mirror.safe
        self.classes, self.seed, self.epochs, self.larger_epochs = len(dataset.class_names), seed, epochs, larger_epochs
        self.recipe = Recipe(student="plain_cnn", width=width, hidden=width, weight_bits=8, image_shape=dataset.shape)
        self.larger_recipe = replace(self.recipe, width=larger_width, hidden=larger_width)

    @cached_property
    def larger(self) -> Trained:
        """The larger network, trained when the first student needs it."""
        return self._train(self.larger_recipe, self._moved(), epochs=self.larger_epochs, seed=self.seed + 100)

    def student(self, way: str) -> Trained:
        """Return the student that learned in this way."""
        if way == "taught":
            answers = self._answers(self.pixels)[None]
            return self._train(self.recipe, replace(self._moved(), teacher_logits=answers), epochs=self.epochs, seed=self.seed)
        if way == "taught on shared copies":
            copies = self._copies()
            answers = np.stack([self._answers(copy) for copy in copies])
            shared = replace(self._moved(), views=[ImageCorpus(copy) for copy in copies], teacher_logits=answers)
            return self._train(self.recipe, shared, epochs=self.epochs, seed=self.seed, moved=0.0)
        return self._train(
            self.recipe,
            self._moved(),
            epochs=self.epochs,
            seed=self.seed,
            joint=way == "joint",
            begins_from=self.larger.program if way == "from the larger network's channels" else None,
        )

    def _train(
        self,
        recipe: Recipe,
        lesson: Lesson,
        *,
        epochs: int,
        seed: int,
        moved: float = 1.0,
        joint: bool = False,
        begins_from: Program | None = None,
    ) -> Trained:
        if begins_from is None:
            program = build_student(recipe, classes=self.classes, seed=seed)
        else:
            program = strongest_channels(recipe, begins_from)
        wide = build_student(trainer_recipe(recipe), classes=self.classes, seed=seed + 1) if joint else None
        schedule = Schedule(
            steps=epochs * -(-len(self.labels) // Schedule().batch_size),
            learning_rate=LEARNING_RATE,
            weight_decay=IMAGE_WEIGHT_DECAY,
            dropout=0.0,
            word_dropout_factor=moved,
            quantized_fraction=PLAIN_QUANTIZED_FRACTION,
        )
        trainer = None if wide is None else WideNetwork(wide, dropout=0.0)
        objective = Objective(**teacher_term("auto", learns_with_images=joint))
        return train(program, lesson, objective=objective, schedule=schedule, seed=seed, trainer=trainer)

    def _moved(self) -> Lesson:
        return Lesson(
            views=[ImageCorpus(self.pixels, self.mirrored)],
            labels=self.labels,
            teacher_logits=None,
            validation=ImageCorpus(self.held),
            validation_labels=self.held_labels,
        )

    def _answers(self, pixels: UInt8Array) -> npt.NDArray[np.float32]:
        return evaluate(Executor(self.larger.program), ImageCorpus(pixels).batches())

    def _copies(self) -> list[UInt8Array]:
        """Return the images, and copies that are moved and mirrored as in training."""
        corpus = ImageCorpus(self.pixels, self.mirrored)
        vary = corpus.augmentation(Schedule())
        torch.manual_seed(self.seed)
        begins = range(0, len(self.pixels), BATCH)
        copies = [
            torch.cat([vary(corpus.batch(np.arange(b, min(b + BATCH, len(self.pixels))))) for b in begins])
            for _ in range(COPIES - 1)
        ]
        return [self.pixels, *((255 * copy).round().to(torch.uint8).numpy() for copy in copies)]


def main() -> None:
    """Run the trainings that the command names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="cifar10", choices=list(SETS))
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--larger-epochs", type=int, default=16)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--larger-width", type=int, default=104)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--results", type=Path, default=RESULTS / "image_teaching.jsonl")
    given = parser.parse_args()
    if not data_is_here():
        sys.exit(0)
    torch.set_num_threads(1)
    for seed in given.seeds:
        asked = {name: getattr(given, name) for name in ("images", "epochs", "larger_epochs", "width", "larger_width")}
        comparison = Comparison(given.set, seed=seed, **asked)
        for way in given.ways:
            larger = None if way in ("alone", "joint") else comparison.larger
            begin = time.monotonic()
            student = comparison.student(way)
            row = {
                "set": given.set,
                "way": way,
                "seed": seed,
                **asked,
                "images": len(comparison.labels),
                "weights": student.program.weight_count,
                "validation_images": len(comparison.held_labels),
                "validation_accuracy": student.validation_accuracy,
                "larger": None
                if larger is None
                else {"weights": larger.program.weight_count, "validation_accuracy": larger.validation_accuracy},
                "seconds": round(time.monotonic() - begin),
                "command": command(),
                "machine": machine(),
            }
            append(given.results, row)
            print(given.set, f"seed {seed}, {way}:", row["validation_accuracy"], row["seconds"], "s", flush=True)


if __name__ == "__main__":
    main()
