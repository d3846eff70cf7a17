"""How many neural bits a task needs: one short training for each T·d, and the accuracy that it reached.

The question of ProjectionNet (Ravi 2017, arXiv 1708.00630, section 4: "how many neural projection bits are required to solve a
task?"). The student is the published one, a linear layer on T·d bits, without a teacher. Windows of a sensor have so many bits
for each of their steps, and a recurrence reads these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from understudy.data.dataset import Dataset
from understudy.data.image import ImageDataset
from understudy.data.vector import VectorDataset
from understudy.environment import check_processor
from understudy.errors import InputError
from understudy.feasibility import base_recipe
from understudy.job import Job
from understudy.job_folder import claim
from understudy.judging import Teaching
from understudy.metrics import accuracy
from understudy.neural_bits import BitsPoint, NeuralBits
from understudy.pipeline import read_data
from understudy.program.interpreter import run
from understudy.progress import Progress, SilentProgress
from understudy.report.bits import write_bits_report
from understudy.students.projection_net import BITS as BITS_OF_A_FUNCTION
from understudy.students.recipe import Recipe
from understudy.training.mining import CANDIDATES
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, Schedule

if TYPE_CHECKING:
    from understudy.family import Family
    from understudy.training.task import TaskResult, TrainingTask

BITS = (16, 32, 64, 128, 256, 512, 1024)
"""T·d where nothing else is asked for."""
MOST_BITS = CANDIDATES
STATES = 24
"""Of both recurrences that read the bits of a window's steps."""
STEPS = 2000
"""Optimizer steps: on MNIST twice as many change 80 bits by less than 0.1 points, and 600 by less than 0.2."""


def study_bits(
    job: Job,
    *,
    out: Path,
    bits: Sequence[int] = BITS,
    progress: Progress | None = None,
    command: Sequence[str] = (),
    shown_in: Family | None = None,
) -> NeuralBits:
    """Return the accuracy of each number of ``bits`` on the data of ``job``; ``out`` gets it too, with a picture.

    Trainings that an earlier run of the same study finished are taken over. Interrupted, it keeps those that are finished.

    Args:
        job: says which data and which seed.
        out: folder for everything that is written.
        bits: numbers of them.
        progress: listens.
        command: the words that asked for it, for the record.
        shown_in: a family whose report will show it, which must have been made from the same data.

    Raises:
        InputError: bits or data that break a rule, another student than the one for these data, or a family of others.
        SetupError: the machine lacks something.
    """
    progress = progress or SilentProgress()
    wanted = _checked(bits)
    check_processor(job.training.processor)
    dataset = read_data(job, out=out, progress=progress)
    if shown_in is not None and shown_in.data.digest != dataset.digest:
        raise InputError(
            "a study stands in the report of a family that was made from the same examples, split alike: received "
            f"train={str(job.data.train)!r} and family={shown_in.name!r}; give the job file "
            "of the family, or leave --family out"
        )
    student = _student(job, dataset)
    if isinstance(dataset, VectorDataset) and any(count % BITS_OF_A_FUNCTION for count in wanted):
        raise InputError(
            f"bits of numbers are multiples of {BITS_OF_A_FUNCTION}: received bits={', '.join(map(str, wanted))}; "
            f"give some, as --bits {8 * BITS_OF_A_FUNCTION} --bits {32 * BITS_OF_A_FUNCTION}"
        )
    base = base_recipe(job.model_copy(update={"student": student}), dataset)
    # torch takes seconds to import: what breaks a rule is said before that
    from understudy.record import created_with
    from understudy.teaching import workers_for, write_lesson
    from understudy.training.processor import processor_for
    from understudy.training.workers import train_all

    progress.note(f"training on: {processor_for(job.training.processor, job.training.precision).explain()}")
    tasks = [_task(base, count, job=job, dataset=dataset) for count in wanted]
    identity = {"study": "bits", "settings": job.digest(), "data": dataset.digest}
    with claim(out, identity) as folder:
        store = write_lesson(job, dataset, Teaching(None, used=False), folder=folder, progress=progress)
        with workers_for(job, store, folder) as workers:
            try:
                train_all(tasks, workers, progress=progress, title=f"training {len(tasks)} students")
            except KeyboardInterrupt:
                if not any(workers.has_finished(task) for task in tasks):
                    raise
                progress.note("stopped early: keeping what is finished; run the same command again to go on")
            done = [task for task in tasks if workers.has_finished(task)]
            progress.stage("measuring on the test split", total=len(done))
            points = []
            for task in done:
                points.append(_point(task, workers.result(task), dataset))
                progress.advance()
        study = NeuralBits(
            name=job.name,
            created_with=created_with(threads=1),
            command=tuple(command),
            job=job.model_dump(mode="json"),
            classes=len(dataset.class_names),
            test_examples=len(dataset.test),
            kind=_kind(dataset),
            steps=_steps(job, len(dataset.train)),
            finished=len(done) == len(tasks),
            points=tuple(points),
        )
        study.save(out)
        write_bits_report(study, out)
    return study


def _checked(bits: Sequence[int]) -> list[int]:
    """Return different numbers of bits, the fewest first."""
    if not bits or min(bits) < 1 or max(bits) > MOST_BITS:
        raise InputError(
            f"bits are numbers from 1 to {MOST_BITS}: received bits={', '.join(map(str, bits)) or 'none'}; "
            "give some, as --bits 64 --bits 256"
        )
    return sorted(set(bits))


def _student(job: Job, dataset: Dataset) -> str:
    """Return the student that reads bits of ``dataset``."""
    if isinstance(dataset, ImageDataset) and dataset.log_mel is not None:
        raise InputError(
            f"a study of bits reads texts, images, numbers and sensor windows: received sounds in "
            f"train={str(job.data.train)!r}; give one of these"
        )
    student = "projection_rnn" if _of_windows(dataset) else "projection_net"
    if job.student not in ("auto", student):
        raise InputError(
            f"a study of bits trains the student {student}: received student={job.student!r}; remove it from the job"
        )
    return student


def _of_windows(dataset: Dataset) -> bool:
    return isinstance(dataset, VectorDataset) and len(dataset.shape) == 2


def _task(base: Recipe, bits: int, *, job: Job, dataset: Dataset) -> TrainingTask:
    states = STATES if base.student == "projection_rnn" else 0
    recipe = Recipe(**{**vars(base), "features": bits, "width": states or base.width, "hidden": states, "weight_bits": 8})
    decay = IMAGE_WEIGHT_DECAY if recipe.learns_as_images else Schedule.weight_decay
    schedule = Schedule(steps=_steps(job, len(dataset.train)), dropout=0.0, weight_decay=decay, word_dropout_factor=0.0)
    from understudy.training.task import TrainingTask

    return TrainingTask(
        recipe=recipe,
        schedule=schedule,
        objective={"smoothing": job.training.label_smoothing},
        class_weight=None,
        classes=len(dataset.class_names),
        seed=job.seed,
        taught=False,
    )


def _kind(dataset: Dataset) -> Literal["images", "texts", "windows", "examples"]:
    if isinstance(dataset, VectorDataset):
        return "windows" if _of_windows(dataset) else "examples"
    return "images" if isinstance(dataset, ImageDataset) else "texts"


def _steps(job: Job, examples: int) -> int:
    epochs = job.training.epochs
    return STEPS if epochs is None else min(STEPS, epochs * -(-examples // Schedule().batch_size))


def _point(task: TrainingTask, result: TaskResult, dataset: Dataset) -> BitsPoint:
    answers = run(result.program, dataset.test.inputs(result.program)).logits.argmax(axis=1)
    return BitsPoint(
        bits=task.recipe.features,
        weight_count=result.float_program.weight_count,
        validation_accuracy=result.validation_accuracy,
        accuracy=accuracy(dataset.test.labels, answers),
        seconds=result.seconds,
    )
