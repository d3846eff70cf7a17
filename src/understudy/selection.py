"""The search at work: asks for candidates, trains each one and its no-teacher twin, keeps the best on validation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from understudy.search.space import Candidate, SizeOf
from understudy.search.study import Asked, Study
from understudy.students.recipe import Recipe
from understudy.training.loop import Schedule
from understudy.training.task import TaskResult, TrainingTask

if TYPE_CHECKING:
    from understudy.job import Job
    from understudy.job_folder import JobFolder
    from understudy.progress import Progress
    from understudy.training.workers import Workers

DEFAULT_TRIALS = 1
HALVING_FROM = 4
"""Planned trials from which successive halving pays: short trainings choose which candidates are trained to the end."""
HALVING_FACTOR = 4
TEXTS_IN_A_TRAINING = 300_000
LEAST_EPOCHS, MOST_EPOCHS, LEAST_STEPS = 4, 40, 1500


@dataclass(frozen=True, eq=False)
class Tried:
    """One finished trial; ``twin`` is None without a teacher, ``result`` is None when halving ended it early."""

    number: int
    candidate: Candidate
    size_bytes: int
    validation_accuracy: float
    result: TaskResult | None
    twin: TaskResult | None


@dataclass(frozen=True, eq=False)
class Selection:
    """The search for one budget: every trial, the best of them, and the best of their twins."""

    budget: str
    budget_bytes: int
    trials: tuple[Tried, ...]

    @property
    def best(self) -> Tried:
        """The finished trial with the highest validation accuracy; the first of equals."""
        return max((t for t in self.trials if t.result), key=lambda t: (t.validation_accuracy, -t.number))

    @property
    def best_twin(self) -> TaskResult | None:
        """The twin with the highest validation accuracy, from the same trials."""
        twins = [t.twin for t in self.trials if t.twin]
        return max(twins, key=lambda twin: twin.validation_accuracy) if twins else None


@dataclass(frozen=True)
class Plan:
    """What all trials of a job share.

    Attributes:
        base: recipe of everything that the search does not choose.
        classes: number of classes.
        texts: training texts, unlabelled ones included.
        objective: fields of ``Objective``.
        class_weight: one weight per class, or None.
        taught: a teacher is used.
        joint: the teacher learns beside the student.
        seed: of the search and of every training.
    """

    base: Recipe
    classes: int
    texts: int
    objective: Mapping[str, Any]
    class_weight: tuple[float, ...] | None
    taught: bool
    joint: bool
    seed: int
    epochs: int | None

    def task(self, candidate: Candidate, *, taught: bool, share: float = 1.0) -> TrainingTask:
        """Return the training of ``candidate``; ``share`` of the steps for a short one."""
        schedule = Schedule(dropout=candidate.dropout, learning_rate=candidate.learning_rate)
        steps = int(steps_for(self.texts, batch_size=schedule.batch_size, epochs=self.epochs) * share)
        return TrainingTask(
            recipe=candidate.recipe,
            schedule=replace(schedule, steps=steps),
            objective=dict(self.objective),
            class_weight=self.class_weight,
            classes=self.classes,
            seed=self.seed,
            taught=taught,
            joint=taught and self.joint,
        )


def steps_for(texts: int, *, batch_size: int, epochs: int | None) -> int:
    """Return optimizer steps for ``texts`` training texts: about the same number of texts seen, whatever their number."""
    if epochs is None:
        epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, round(TEXTS_IN_A_TRAINING / max(1, texts))))
        return max(LEAST_STEPS, epochs * -(-texts // batch_size))
    return epochs * -(-texts // batch_size)


class Searches:
    """The searches for all budgets of a job, side by side.

    Args:
        studies: budget as typed to its study.
        plan: what all trials share.
        size_of: recipe to bytes of each format.
    """

    def __init__(self, budgets: Sequence[tuple[str, int]], plan: Plan, *, size_of: SizeOf, bits: Any) -> None:
        self.plan, self.size_of = plan, size_of
        self.budgets = dict(budgets)
        self.studies = {
            text: Study(budget_bytes=size, base=plan.base, size_of=size_of, seed=plan.seed, bits=bits)
            for text, size in budgets
        }
        self.tried: dict[str, list[Tried]] = {text: [] for text in self.budgets}

    def run(self, job: Job, workers: Workers, *, folder: JobFolder, progress: Progress) -> None:
        """Run rounds until the job's trials or time are used up; interrupted, ``selections`` has what was finished."""
        planned = job.trials or (None if job.time_seconds else DEFAULT_TRIALS)
        used = folder.seconds_searched()
        rounds = 0
        while planned is None or rounds < planned:
            if job.time_seconds is not None and rounds and used >= job.time_seconds:
                break
            begin = time.monotonic()
            self._round(rounds, workers, progress=progress, planned=planned)
            used += time.monotonic() - begin
            folder.record_seconds(used)
            rounds += 1

    def selections(self) -> list[Selection]:
        """Return what was found for each budget with at least one finished trial, in the order of the budgets."""
        return [
            Selection(text, size, tuple(self.tried[text]))
            for text, size in self.budgets.items()
            if any(t.result for t in self.tried[text])
        ]

    def _round(self, number: int, workers: Workers, *, progress: Progress, planned: int | None) -> None:
        """Train one candidate, and its twin, for every budget."""
        asked = {text: found for text, study in self.studies.items() if (found := study.ask())}
        tasks = {text: self._pair(a) for text, a in asked.items()}
        every = [task for pair in tasks.values() for task in pair]
        title = "training" if planned == 1 else f"training, trial {number + 1}" + (f" of {planned}" if planned else "")
        results = dict(zip((t.key for t in every), _train(every, workers, progress=progress, title=title), strict=True))
        for text, a in asked.items():
            student, *twin = (results[task.key] for task in tasks[text])
            self.studies[text].tell(a, student.validation_accuracy)
            self.tried[text].append(
                Tried(
                    number=a.number,
                    candidate=a.candidate,
                    size_bytes=max(self.size_of(a.candidate.recipe).values()),
                    validation_accuracy=student.validation_accuracy,
                    result=student,
                    twin=twin[0] if twin else None,
                )
            )

    def _pair(self, asked: Asked) -> list[TrainingTask]:
        if not self.plan.taught:
            return [self.plan.task(asked.candidate, taught=False)]
        return [self.plan.task(asked.candidate, taught=True), self.plan.task(asked.candidate, taught=False)]


def _train(tasks: Sequence[TrainingTask], workers: Workers, *, progress: Progress, title: str) -> list[TaskResult]:
    progress.stage(title, total=sum(task.schedule.steps for task in tasks))
    last: dict[str, int] = {}

    def on_point(task: TrainingTask, event: dict[str, Any]) -> None:
        steps = event["step"] - last.get(task.key, 0)
        last[task.key] = event["step"]
        progress.advance(steps, loss=event["loss"], validation_accuracy=event["validation_accuracy"])

    return workers.run(tasks, on_point=on_point)
