"""One training: float steps, then quantization-aware steps of the same program; returns the integer program."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.ranges import Ranges
from understudy.program.executor import Executor, Scheme, evaluate
from understudy.program.ops import Program, ProjectText
from understudy.training.checkpoint import Checkpoint
from understudy.training.corpus import Seen, mixed
from understudy.training.objective import Objective
from understudy.training.optimizer import optimizer_for
from understudy.training.placed import placed
from understudy.training.processor import Processor
from understudy.training.schedule import Schedule, one_cycle
from understudy.training.trainer import Trainer

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
CALIBRATION_TEXTS = 1024


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a student learns from.

    Attributes:
        views: corpora of the same texts in the same order; the first is unaltered, the others are distorted copies.
        labels: class numbers ``[texts]``, -1 for unlabelled ones.
        teacher_logits: float32 ``[views, texts, classes]``, or None.
        validation: unaltered validation texts.
        validation_labels: class numbers, -1 counts as wrong.
    """

    views: Sequence[Seen]
    labels: Int64Array
    teacher_logits: Float32Array | None
    validation: Seen
    validation_labels: Int64Array

    @property
    def texts_in_an_epoch(self) -> int:
        """All labelled texts, and as many of the others at most: labels are what a student is judged by."""
        labelled = int((self.labels >= 0).sum())
        return labelled + min(labelled, len(self.labels) - labelled)


@dataclass(frozen=True)
class Point:
    """One point of a learning curve; ``seconds`` are those of the training so far, over all runs that it took.

    Two points are equal where their trainings learned the same: a clock says nothing about that.
    """

    step: int
    terms: dict[str, float]
    validation_accuracy: float
    quantized: bool = False
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, eq=False)
class Trained:
    """The result: float program, integer form, curve, and the seconds that it took.

    ``float_accuracy`` is the float program's on validation, without any rounding; ``trained_on`` names what computed the steps.
    """

    program: Program
    integer: Program
    validation_accuracy: float
    float_accuracy: float
    curve: tuple[Point, ...] = field(default=())
    seconds: float = 0.0
    trained_on: tuple[str, ...] = ()


def accuracy(logits: Float32Array, labels: Int64Array) -> float:
    """Return the share of rows whose largest logit is at the label."""
    return float((logits.argmax(axis=1) == labels).mean()) if len(labels) else 0.0


def train(
    program: Program,
    lesson: Lesson,
    *,
    objective: Objective,
    schedule: Schedule,
    seed: int,
    on_point: Callable[[Point], None] | None = None,
    checkpoint: Checkpoint | None = None,
    trainer: Trainer | None = None,
    ranges: Ranges | None = None,
    trained: bool = False,
    processor: Processor | None = None,
) -> Trained:
    """Train a float ``program`` on ``lesson``; one seed gives one result on one machine's processor and thread count.

    Args:
        program: a float program with initial weights.
        lesson: texts, labels and the teacher's answers.
        objective: the loss.
        schedule: how long and how fast.
        seed: of batches, dropout and views.
        on_point: called twenty times during the training; may raise to stop it.
        checkpoint: where the state is kept, also twenty times; a state found there is continued, with the same result.
        trainer: joint mode: learns beside the student and teaches it; it has learned when this returns.
        ranges: the estimators of the scales.
        trained: ``program`` has learned already: of ``schedule`` only the quantization-aware steps are taken.
        processor: computes the steps; None for the machine's own.
    """
    torch.manual_seed(seed)
    run = _Run(
        program,
        lesson,
        objective=objective,
        schedule=schedule,
        seed=seed,
        trainer=trainer,
        ranges=ranges,
        trained=trained,
        processor=processor or Processor(),
    )
    if checkpoint and (state := checkpoint.load()):
        run.restore(state)
    begin = time.monotonic() - run.seconds
    every = max(1, schedule.steps // 20)
    while run.step < schedule.steps:
        run.advance()
        if run.step % every == 0:
            point = run.measure(every, begin=begin)
            if checkpoint:
                checkpoint.save(run.state())
            if on_point:
                on_point(point)
    return run.finish()


class _Run:
    """The state of one training between two steps."""

    def __init__(
        self,
        program: Program,
        lesson: Lesson,
        *,
        objective: Objective,
        schedule: Schedule,
        seed: int,
        trainer: Trainer | None,
        ranges: Ranges | None,
        trained: bool,
        processor: Processor,
    ) -> None:
        self.lesson, self.schedule, self.seed = lesson, schedule, seed
        self.objective, self.ranges = objective.on(processor.device), ranges
        self.processor, self.trained_on = processor, (processor.describe(),)
        self.views = [placed(view, processor) for view in lesson.views]
        self.validation = placed(lesson.validation, processor)
        # what has learned has its batch norms in its weights
        normalized = not isinstance(program.source, ProjectText) and not trained
        self.executor = Executor(program, dropout=schedule.dropout, normalized=normalized).train()
        self.trainer = trainer
        processor.place(self.executor)  # images have their channels last in it, and weights theirs: nothing more to say
        if trainer is not None and trainer.moves:
            processor.place(trainer)
        self.optimizer = optimizer_for(self.executor, self.trainer, self.schedule)
        self.augment = lesson.views[0].augmentation(schedule)
        self.step, self.seconds = schedule.float_steps if trained else 0, 0.0
        self.sums: dict[str, Tensor] = {}
        self.curve: list[Point] = []
        self._epoch: tuple[int, list[tuple[int, Int64Array]]] = (-1, [])

    def advance(self) -> None:
        """Take one optimizer step, turning quantization on where the schedule says."""
        schedule, lesson = self.schedule, self.lesson
        if self.step == schedule.float_steps and not self.executor.quantized:
            self._quantize(self._calibrated(self.executor.learned()[0]))
        for group in self.optimizer.groups:
            group["lr"] = group["peak"] * one_cycle(self.step / schedule.steps)
        view, index = self._batch()
        device = self.processor.device
        features, mixture = mixed(lesson.views[view], self.augment(self.views[view].batch(index)))
        teacher = None
        # rounding to 256 steps is learned in float32: bfloat16 has no finer ones
        with self.processor.mixed(on=not self.executor.quantized):
            if self.trainer is not None:
                teacher = self.trainer(features, view, index).to(device).float()
            elif lesson.teacher_logits is not None:
                teacher = torch.from_numpy(np.array(lesson.teacher_logits[view, index])).to(device)
            student = self.executor(features).float()
        labels = torch.from_numpy(lesson.labels[index]).to(device)
        objective = self.objective.at(self.step)
        loss, terms = objective(student, labels, teacher=teacher, teacher_learns=self.trainer is not None, mixture=mixture)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.executor.parameters(), 1.0)
        if self.trainer is not None:
            nn.utils.clip_grad_norm_(self.trainer.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        for name, value in terms.items():
            # asked for its value here, a graphics card would have to be waited for in every step
            self.sums[name] = self.sums.get(name, 0.0) + value.double()

    def measure(self, steps: int, *, begin: float) -> Point:
        """Add a point to the learning curve: mean terms over the last ``steps``, validation, seconds from ``begin``."""
        logits = evaluate(self.executor, self.validation.batches())
        terms = {name: float(value) / steps for name, value in self.sums.items()}
        reached = accuracy(logits, self.lesson.validation_labels)
        self.seconds = time.monotonic() - begin
        self.curve.append(Point(self.step, terms, reached, self.executor.quantized, self.seconds))
        self.sums = {}
        return self.curve[-1]

    def finish(self) -> Trained:
        """Return the result; a float schedule is quantized after training.

        All of it is computed in float32 on the machine's own processor, whatever has trained.
        """
        on_machine = Processor()
        on_machine.place(self.executor)
        if self.trainer is not None and self.trainer.moves:
            on_machine.place(self.trainer)
        learned, scheme = self.executor.learned()
        if scheme is None:
            scheme = self._calibrated(learned)
            self.executor.quantize(scheme)
        calibration = evaluate(self.executor, _calibration(self.lesson))
        logits = evaluate(self.executor, self.lesson.validation.batches())
        integer = to_integer(learned, scheme, logits=np.concatenate([calibration, logits]))
        reached = accuracy(logits, self.lesson.validation_labels)
        exact = accuracy(evaluate(Executor(learned), self.lesson.validation.batches()), self.lesson.validation_labels)
        return Trained(learned, integer, reached, exact, tuple(self.curve), self.seconds, self.trained_on)

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "quantized": self.executor.quantized,
            "executor": self.executor.state_dict(),
            "trainer": None if self.trainer is None else self.trainer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_of_gpu": self.processor.random_state(),
            "trained_on": list(self.trained_on),
            "curve": [list(astuple(p)) for p in self.curve],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to ``state``."""
        if state["quantized"]:
            # the shapes of the scales follow from any calibration; their values come with the state
            self._quantize(self._calibrated(self.executor.learned()[0]))
        self.executor.load_state_dict(state["executor"])
        if self.trainer is not None:
            self.trainer.load_state_dict(state["trainer"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        # both are absent from what an older understudy left behind
        self.processor.set_random_state(state.get("random_of_gpu"))
        self.trained_on = tuple(dict.fromkeys([*state.get("trained_on", ()), *self.trained_on]))
        self.step, self.seconds = state["step"], state["seconds"]
        self.curve = [Point(*values) for values in state["curve"]]

    def _calibrated(self, learned: Program) -> Scheme:
        return calibrate(learned, _calibration(self.lesson), ranges=self.ranges)

    def _quantize(self, scheme: Scheme) -> None:
        self.executor.quantize(scheme)
        self.processor.place(self.executor)
        self.optimizer = optimizer_for(self.executor, self.trainer, self.schedule)

    def _batch(self) -> tuple[int, Int64Array]:
        """Return (view, text numbers) of the present step; they follow from seed and step alone."""
        per_epoch = -(-self.lesson.texts_in_an_epoch // self.schedule.batch_size)
        epoch, at = divmod(self.step, per_epoch)
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._epoch = (epoch, epoch_batches(self.lesson, self.schedule.batch_size, rng))
        return self._epoch[1][at]


def epoch_batches(lesson: Lesson, size: int, rng: np.random.Generator) -> list[tuple[int, Int64Array]]:
    """Return (view, text numbers) of one epoch: each text once, in a random view, similar lengths together.

    Where most texts have no label, a random part of these takes part.
    """
    lengths = lesson.views[0].lengths()
    order = rng.permutation(len(lesson.labels))
    if lesson.texts_in_an_epoch < len(order):
        labelled = lesson.labels[order] >= 0
        order = order[labelled | (np.cumsum(~labelled) <= labelled.sum())]
    parts: list[Int64Array] = []
    for begin in range(0, len(order), 16 * size):
        chunk = order[begin : begin + 16 * size]
        by_length = chunk[np.argsort(lengths[chunk], kind="stable")]
        parts.extend(by_length[i : i + size] for i in range(0, len(by_length), size))
    views = rng.integers(0, len(lesson.views), len(parts))
    return [(int(views[number]), parts[number]) for number in rng.permutation(len(parts))]


def _calibration(lesson: Lesson) -> list[Tensor]:
    count = min(CALIBRATION_TEXTS, len(lesson.labels))
    index = np.linspace(0, len(lesson.labels) - 1, count).astype(np.int64)
    return [lesson.views[0].batch(index[i : i + 256]) for i in range(0, count, 256)]
