"""Projection students of fixed, published shapes on public image sets, with and without seed mining: docs/benchmarks.md.

    python benchmarks/projections.py --set mnist --shape 80 --seeds 3
    python benchmarks/projections.py --shape 80 --first-rows        # the ablation: rows as they come, none chosen
    python benchmarks/projections.py --shape cnn --joint            # a wide network learns beside the student and teaches it

Each run appends one JSON line to benchmarks/results/projections.jsonl. The shapes and schedules are fixed before, so nothing is
chosen on any split; a tenth of the training images is left out all the same, as a job does. Every file is run over the whole
test split. With ``--keep FOLDER`` a training that was stopped goes on when the same command is given again; its ``seconds`` are
those since then. The data sets stand in ../shared/data, which most machines do not have.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from images import SETS
from records import RESULTS, append, command, data_is_here, machine

from understudy.data.image import ImageDataset, load_image_dataset
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.program.cost import macs
from understudy.program.interpreter import run
from understudy.settings import DataSettings
from understudy.students.recipe import Recipe, StudentName
from understudy.students.registry import build_student
from understudy.training.checkpoint import Checkpoint
from understudy.training.corpus import ImageCorpus
from understudy.training.loop import Lesson, train
from understudy.training.mining import CANDIDATES, mined
from understudy.training.objective import Objective, teacher_term
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, PLAIN_QUANTIZED_FRACTION, Schedule
from understudy.training.task import trainer_recipe
from understudy.training.trainer import WideNetwork
from understudy.version import installed_version

FORMATS = ("onnx", "litert", "c", "python")


@dataclass(frozen=True)
class Shape:
    """A student, how it is trained, and what to compare it with.

    Attributes:
        signs: T * d.
        hidden: outputs of the layer behind the signs; 0 for none.
        steps: optimizer steps of 64 images.
        moved: times how far images are moved in training.
        dropout: share of hidden values dropped.
        learning_rate: peak.
        width: channels of a projection CNN's first convolution; 0 for a projection net.
        published: set to accuracy in the paper (Ravi 2017, 2019).
        asked: set to accuracy that was asked for here.
    """

    signs: int
    hidden: int
    steps: int
    moved: float
    dropout: float
    learning_rate: float
    published: dict[str, float]
    asked: dict[str, float]
    width: int = 0

    @property
    def student(self) -> StudentName:
        """The architecture."""
        return "projection_cnn" if self.width else "projection_net"


SHAPES = {
    "80": Shape(80, 0, 4000, 0.0, 0.0, 3e-3, {"mnist": 0.706}, {"mnist": 0.88}),
    "120": Shape(120, 0, 4000, 0.0, 0.0, 3e-3, {"mnist": 0.769}, {"mnist": 0.90}),
    "600": Shape(600, 0, 4000, 0.0, 0.0, 3e-3, {"mnist": 0.911}, {"mnist": 0.945}),
    "720": Shape(720, 0, 4000, 0.0, 0.0, 3e-3, {"mnist": 0.923}, {"mnist": 0.95}),
    "720-256": Shape(720, 256, 8000, 0.5, 0.1, 3e-3, {"mnist": 0.969}, {"mnist": 0.98}),
    "cnn": Shape(
        1024,
        64,
        14000,
        1.0,
        0.0,
        3e-3,
        {"mnist": 0.994, "fashion_mnist": 0.927, "cifar10": 0.847},
        {"mnist": 0.994, "fashion_mnist": 0.927, "cifar10": 0.847},
        28,
    ),
}


def measure(
    name: str, shape_name: str, *, seed: int, candidates: int, steps: int | None, joint: bool, keep: Path | None = None
) -> dict[str, object]:
    """Return the row of one student; the state of its training is kept in the folder ``keep``, if there is one."""
    begin = time.monotonic()
    shape = SHAPES[shape_name]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_image_dataset(DataSettings(train=SETS[name].source(Path(folder))), seed=seed)
    candidates = 0 if shape.width else candidates
    recipe = Recipe(
        student=shape.student,
        features=shape.signs,
        hidden=shape.hidden,
        width=shape.width,
        image_shape=dataset.shape,
        projection_seed=seed,
        candidates=candidates,
    )
    lesson = _lesson(dataset)
    program = build_student(recipe, classes=len(dataset.class_names), seed=seed)
    if candidates:
        program = mined(program, dataset.train.content, dataset.train.labels, candidates=candidates)
    schedule = Schedule(
        steps=steps or shape.steps,
        learning_rate=shape.learning_rate,
        weight_decay=IMAGE_WEIGHT_DECAY,
        dropout=shape.dropout,
        word_dropout_factor=shape.moved,
        quantized_fraction=PLAIN_QUANTIZED_FRACTION if shape.width else Schedule().quantized_fraction,
    )
    trainer = None
    if joint:
        wide = build_student(trainer_recipe(recipe), classes=len(dataset.class_names), seed=seed + 1)
        trainer = WideNetwork(wide, dropout=shape.dropout)
    objective = Objective(**teacher_term("auto", learns_with_images=joint))
    checkpoint = None
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        how = f"{name}-{shape_name}-{seed}-{candidates}-{schedule.steps}-{'joint' if joint else 'self'}"
        checkpoint = Checkpoint(keep / f"{how}.checkpoint")
    trained = train(program, lesson, objective=objective, schedule=schedule, seed=seed, trainer=trainer, checkpoint=checkpoint)
    reference = run(trained.integer, dataset.test.content).logits.argmax(axis=1)
    files = {}
    for kind in FORMATS:
        made = exporter(kind)
        with tempfile.TemporaryDirectory() as folder:
            for filename, content in made.export(trained.integer, name=name).items():
                (Path(folder) / filename).write_bytes(content)
            found = verify_file(trained.integer, made.open(Path(folder), name=name), dataset.test.content)
        files[kind] = {
            "size_bytes": sum(size for _, size in made.byte_table(trained.integer, name=name)),
            "accuracy": float((found.probabilities.argmax(axis=1) == dataset.test.labels).mean()),
            "agreement": found.agreement,
        }
    return {
        "set": name,
        "shape": shape_name,
        "student": shape.student,
        "seed": seed,
        "candidates": candidates,
        "mode": "joint" if joint else "self",
        "teacher_weight": objective.student_on_teacher if joint else None,
        "fades_in": objective.fades_in,
        "steps": schedule.steps,
        "weights": trained.integer.weight_count,
        "macs": macs(trained.integer),
        "validation_accuracy": trained.validation_accuracy,
        "accuracy": float((reference == dataset.test.labels).mean()),
        "published": shape.published.get(name),
        "asked": shape.asked.get(name),
        "files": files,
        "test_images": len(dataset.test),
        "seconds": round(time.monotonic() - begin),
        "understudy": installed_version(),
        "command": command(),
        "machine": machine(),
    }


def _lesson(dataset: ImageDataset) -> Lesson:
    mirrored = dataset.statistics.mirror.safe
    return Lesson(
        views=[ImageCorpus(dataset.train.content, mirrored)],
        labels=dataset.train.labels,
        teacher_logits=None,
        validation=ImageCorpus(dataset.validation.content),
        validation_labels=np.asarray(dataset.validation.labels),
    )


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", choices=sorted(SETS), help="default: mnist")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help="default: all")
    parser.add_argument("--first-rows", action="store_true", help="no seed mining")
    parser.add_argument("--joint", action="store_true", help="with a wide network that learns beside the student")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="optimizer steps; default: the shape's")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where stopped trainings are kept, to be continued")
    parser.add_argument("--results", type=Path, default=RESULTS / "projections.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    candidates = 0 if arguments.first_rows else CANDIDATES
    for name in arguments.set or ["mnist"]:
        for shape in arguments.shape or SHAPES:
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                asked = {"candidates": candidates, "steps": arguments.steps, "joint": arguments.joint, "keep": arguments.keep}
                row = measure(name, shape, seed=seed, **asked)
                append(arguments.results, row)
                print(f"{name}, {shape}, seed {seed}: {row['accuracy']:.4f}, {row['files']}, {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
