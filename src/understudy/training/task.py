"""One training as a value: what a worker needs to know, and the file that it leaves behind."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from understudy.compression.quantize.plan import QuantizationPlan
from understudy.compression.quantize.ranges import Ranges
from understudy.files import write_bytes
from understudy.program import archive
from understudy.program.cost import macs
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.students.pruned import folded
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.training.checkpoint import Checkpoint
from understudy.training.corpus import ImageCorpus
from understudy.training.inheritance import strongest_channels
from understudy.training.lesson_store import LessonStore
from understudy.training.loop import Lesson, Point, Trained, accuracy, train
from understudy.training.mining import mined
from understudy.training.objective import Objective
from understudy.training.processor import Processor
from understudy.training.pruning import Stages, train_pruned
from understudy.training.schedule import Schedule
from understudy.training.trainer import Brought, BroughtModule, Trainer, WideNetwork, brought_module

Float32Array = npt.NDArray[np.float32]
TRAINER_WIDTH = 256
"""Outputs of both hidden layers of the network that teaches in joint mode."""
IMAGE_TRAINER_WIDTH = 64
"""Of the plain CNN that teaches students for images there."""


@dataclass(frozen=True)
class TrainingTask:
    """One student to train.

    Attributes:
        recipe: what to build.
        schedule: how long and how fast.
        objective: fields of ``Objective`` without the class weights.
        class_weight: one weight per class, or None.
        classes: number of classes.
        seed: of initial weights, batches and dropout.
        taught: whether the teacher term is in the objective; the twin is the same task without it.
        joint: the teacher learns beside the student: a wide network on the same features, or what was brought.
        brought: joint mode: the user's torch module, None for the wide network.
        refit: the validation texts are learned from too, so that the accuracy on them says nothing any more.
        quantization: how what was learned becomes integers.
        after: key of a finished training whose float program is quantized anew; None to learn from the beginning.
        begins_from: key of the training of a wider student, whose strongest channels are the initial weights; None for random
            ones.
    """

    recipe: Recipe
    schedule: Schedule
    objective: dict[str, Any]
    class_weight: tuple[float, ...] | None
    classes: int
    seed: int
    taught: bool
    joint: bool = False
    brought: Brought | None = None
    refit: bool = False
    quantization: QuantizationPlan = field(default_factory=QuantizationPlan)
    after: str | None = None
    begins_from: str | None = None

    @property
    def key(self) -> str:
        """Name of the task's files: a digest of all that influences its result besides the lesson."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that ``from_json`` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> TrainingTask:
        """Return the task that ``to_json`` wrote."""
        weights, brought, recipe = raw["class_weight"], raw["brought"], dict(raw["recipe"])
        for name in ("image_shape", "input_shape", "sound"):
            recipe[name] = None if recipe[name] is None else tuple(recipe[name])
        quantization = raw["quantization"]
        if brought is not None:
            brought = Brought(brought["source"], tuple(brought["class_names"]), brought["digest"])
        return TrainingTask(
            **{
                **raw,
                "recipe": Recipe(**recipe),
                "schedule": Schedule(**raw["schedule"]),
                "class_weight": None if weights is None else tuple(weights),
                "brought": brought,
                "quantization": QuantizationPlan(
                    **{
                        **quantization,
                        "ranges": Ranges(**quantization["ranges"]),
                        "eight_bits": tuple(quantization["eight_bits"]),
                    }
                ),
            }
        )


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What a finished training left behind.

    Attributes:
        float_program: learned weights.
        program: the integer program.
        validation_accuracy: of the integer program in the interpreter.
        float_accuracy: the same of the float student: the better of its learned weights without rounding and of what it had
            reached before it was trained with rounding.
        validation_probabilities: float32 ``[validation texts, classes]`` of the same.
        curve: points of the learning curve.
        seconds: of the training, over all runs that it took.
        trainer: in joint mode the wide network that learned beside the student, in float.
        trainer_weights: in joint mode the file with what a module that was brought has learned.
        stages: of the student 'pruned' what came before quantization.
        trained_on: what computed its steps, ``processor, float32``; several where it went on elsewhere.
    """

    float_program: Program
    program: Program
    validation_accuracy: float
    float_accuracy: float
    validation_probabilities: Float32Array
    curve: tuple[Point, ...]
    seconds: float
    trainer: Program | None
    trainer_weights: Path | None = None
    stages: Stages | None = None
    trained_on: tuple[str, ...] = ()


def result_path(folder: Path, task: TrainingTask) -> Path:
    """Return where the result of ``task`` stands."""
    return folder / f"{task.key}.trained"


def load_result(path: Path) -> TaskResult:
    """Return the result in ``path``."""
    with zipfile.ZipFile(path) as bundle:
        record = json.loads(bundle.read("record.json"))
        return TaskResult(
            float_program=archive.loads(bundle.read("float.npz")),
            program=archive.loads(bundle.read("integer.npz")),
            validation_accuracy=record["validation_accuracy"],
            float_accuracy=record["float_accuracy"],
            validation_probabilities=np.load(io.BytesIO(bundle.read("validation.npy")), allow_pickle=False),
            curve=tuple(Point(*values) for values in record["curve"]),
            seconds=record["seconds"],
            trainer=archive.loads(bundle.read("trainer.npz")) if "trainer.npz" in bundle.namelist() else None,
            trainer_weights=weights if (weights := path.with_suffix(".trainer")).exists() else None,
            stages=_read_stages(bundle),
            # an older understudy, which did not write it down, knew nothing else
            trained_on=tuple(record.get("trained_on", (Processor().describe(),))),
        )


def run_task(
    task: TrainingTask,
    *,
    lesson_folder: Path,
    result_folder: Path,
    on_point: Callable[[Point], None] | None = None,
    processor: Processor | None = None,
) -> TaskResult:
    """Train ``task`` on ``processor``, or return its result when it is there already; continues after a kill."""
    path = result_path(result_folder, task)
    if path.exists():
        return load_result(path)
    store = LessonStore(lesson_folder)
    network = store.network() if task.recipe.student == "pruned" and task.after is None else None
    program = store.fitted(_beginning(task, result_folder)) if network is None else folded(task.recipe, network)
    lesson = store.read(program.source, taught=task.taught and not task.joint, refit=task.refit)
    if task.after is None:
        program = _mined(program, task, lesson, folder=lesson_folder)
    trainer = _trainer(task, store) if task.joint else None
    weights = None if task.class_weight is None else torch.tensor(task.class_weight)
    processor = processor or Processor()
    if task.after is None:  # else all steps round, in float32
        processor = processor.for_student(task.recipe.student, macs(program))
    checkpoint, of_rounds = (Checkpoint(result_folder / f"{task.key}.{ending}") for ending in ("checkpoint", "rounds"))
    objective = Objective(**task.objective, class_weight=weights)
    stages = None
    if network is not None:
        trained, stages = train_pruned(
            network,
            task.recipe,
            lesson,
            objective=objective,
            schedule=task.schedule,
            seed=task.seed,
            checkpoints=(of_rounds, checkpoint),
            ranges=task.quantization.ranges,
            on_point=on_point,
            processor=processor,
        )
    else:
        trained = train(
            program,
            lesson,
            objective=objective,
            schedule=task.schedule,
            seed=task.seed,
            on_point=on_point,
            checkpoint=checkpoint,
            trainer=trainer,
            ranges=task.quantization.ranges,
            trained=task.after is not None,
            processor=processor,
        )
    scores = run(trained.integer, store.validation_inputs(trained.integer.source))
    score = accuracy(scores.logits.astype(np.float32), lesson.validation_labels)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        curve = [astuple(p) for p in trained.curve]
        record = {
            "validation_accuracy": score,
            "float_accuracy": _float_accuracy(trained),
            "curve": curve,
            "seconds": trained.seconds,
            "trained_on": trained.trained_on,
        }
        bundle.writestr("record.json", json.dumps(record))
        bundle.writestr("float.npz", archive.dumps(trained.program))
        bundle.writestr("integer.npz", archive.dumps(trained.integer))
        if stages is not None:
            bundle.writestr("cut.npz", archive.dumps(stages.cut))
            bundle.writestr("finetuned.npz", archive.dumps(stages.finetuned))
        if isinstance(trainer, WideNetwork):
            bundle.writestr("trainer.npz", archive.dumps(trainer.executor.learned()[0]))
        array = io.BytesIO()
        np.save(array, scores.probabilities)
        bundle.writestr("validation.npy", array.getvalue())
    if isinstance(trainer, BroughtModule):
        learned = io.BytesIO()
        torch.save(trainer.module.state_dict(), learned)
        write_bytes(path.with_suffix(".trainer"), learned.getvalue())
    write_bytes(path, buffer.getvalue())
    checkpoint.remove()
    of_rounds.remove()
    return load_result(path)


def _read_stages(bundle: zipfile.ZipFile) -> Stages | None:
    if "cut.npz" not in bundle.namelist():
        return None
    return Stages(*(archive.loads(bundle.read(name)) for name in ("cut.npz", "finetuned.npz")))


def _beginning(task: TrainingTask, result_folder: Path) -> Program:
    """Return the float program that ``task`` begins with."""
    if task.after is not None:
        program = load_result(result_folder / f"{task.after}.trained").float_program
    elif task.begins_from is not None:
        wider = load_result(result_folder / f"{task.begins_from}.trained").float_program
        program = strongest_channels(task.recipe, wider)
    else:
        program = build_student(task.recipe, classes=task.classes, seed=task.seed)
    return task.quantization.applied(program)


def _float_accuracy(trained: Trained) -> float:
    """Return what the student reaches without rounding: rounding in training can have cost its weights something too."""
    before = [point.validation_accuracy for point in trained.curve if not point.quantized]
    return max([trained.float_accuracy, *before[-1:]])


def _mined(program: Program, task: TrainingTask, lesson: Lesson, *, folder: Path) -> Program:
    """Return ``program`` with the rows of its projection chosen for the lesson, where the recipe has candidates."""
    images, candidates = lesson.views[0], task.recipe.candidates
    if not candidates or not isinstance(images, ImageCorpus):
        return program
    kept_in = folder / f"rows-{task.recipe.projection_seed}-{candidates}{'-refit' if task.refit else ''}.json"
    return mined(program, images.pixels, lesson.labels, candidates=candidates, kept_in=kept_in)


def _trainer(task: TrainingTask, store: LessonStore) -> Trainer:
    """Return the network that learns beside the student of ``task``."""
    if task.brought is not None:
        return brought_module(task.brought, store.views())
    program = build_student(trainer_recipe(task.recipe), classes=task.classes, seed=task.seed + 1)
    return WideNetwork(program, dropout=task.schedule.dropout)


def trainer_recipe(student: Recipe) -> Recipe:
    """Return what the network that learns beside ``student`` is: a wide one on its features, of images a plain CNN."""
    if student.image_shape is None:
        return replace(student, width=TRAINER_WIDTH, hidden=TRAINER_WIDTH)
    return Recipe(student="plain_cnn", width=IMAGE_TRAINER_WIDTH, hidden=IMAGE_TRAINER_WIDTH, image_shape=student.image_shape)
