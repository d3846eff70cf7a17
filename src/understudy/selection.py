"""The search at work: asks for candidates, trains each one and its no-teacher twin, keeps the best on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from understudy.compression.quantize.plan import QuantizationPlan
from understudy.job_folder import Searched
from understudy.program.cost import training_work
from understudy.program.ops import Program
from understudy.quantization_measurements import Cure
from understudy.search.space import Budget, Candidate, SizeOf, with_student
from understudy.search.study import Asked, Study
from understudy.students.recipe import Recipe
from understudy.training.inheritance import can_begin_from
from understudy.training.schedule import IMAGE_WEIGHT_DECAY, Schedule, image_steps_for, quantized_fraction_for, steps_for
from understudy.training.task import TaskResult, TrainingTask, trainer_recipe
from understudy.training.trainer import Brought
from understudy.training.workers import Workers, train_all

if TYPE_CHECKING:
    from understudy.job import Job
    from understudy.job_folder import JobFolder
    from understudy.progress import Progress

Train = Callable[[list[TrainingTask], str], list[TaskResult]]
"""From tasks and a title for people to results."""
DEFAULT_TRIALS = 1
BRACKET = 4
"""Candidates that are compared by short trainings, of which one is trained to the end."""
HALVING_FACTOR = 4
"""How much shorter these trainings are."""


@dataclass(frozen=True, eq=False)
class Tried:
    """One finished trial; ``twin`` is None without a teacher, ``result`` is None when halving ended it early.

    ``seconds`` are those of its last training; the twin's are not among them.
    """

    number: int
    candidate: Candidate
    size_bytes: int
    validation_accuracy: float
    seconds: float
    result: TaskResult | None
    twin: TaskResult | None


@dataclass(frozen=True, eq=False)
class Selection:
    """The search for one budget: every trial, the best of them, and the best of their twins.

    Attributes:
        budget: as typed.
        budget_bytes: most bytes of each file.
        trials: in the order in which they ended.
        refit: the best student, trained again with the validation texts; None without such a training.
        twin_refit: the same of the best twin.
        teacher_is_optional: nobody asked for this teacher, so a twin that is better on validation is delivered.
        quantization: how its students were quantized.
        cures: what was tried because that cost too much; the trainings above are then those with what was kept.
        uncured: the training that was chosen before any cure.
        decided: whether the twin is delivered, where that was decided before the cures.
        widest: the budget whose student narrower ones begin from, and that student's recipe; None where none can.
    """

    budget: str
    budget_bytes: int
    trials: tuple[Tried, ...]
    refit: TaskResult | None = None
    twin_refit: TaskResult | None = None
    teacher_is_optional: bool = False
    quantization: QuantizationPlan = field(default_factory=QuantizationPlan)
    cures: tuple[Cure, ...] = ()
    uncured: TaskResult | None = None
    decided: bool | None = None
    widest: tuple[str, Recipe] | None = None

    @property
    def best(self) -> Tried:
        """The finished trial with the highest validation accuracy; the first of equals."""
        return max((t for t in self.trials if t.result), key=lambda t: (t.validation_accuracy, -t.number))

    @property
    def best_twin(self) -> Tried | None:
        """The trial whose twin has the highest validation accuracy, None without twins."""
        reached = [(t.twin.validation_accuracy, t) for t in self.trials if t.twin]
        return max(reached, key=lambda pair: pair[0])[1] if reached else None

    @property
    def delivers_twin(self) -> bool:
        """Whether the best twin is delivered in place of the best student."""
        twin = self.best_twin
        if self.decided is not None:
            return self.decided
        if not self.teacher_is_optional or twin is None or twin.twin is None:
            return False
        return twin.twin.validation_accuracy > self.best.validation_accuracy

    @property
    def chosen(self) -> tuple[Tried, TaskResult]:
        """The trial and its training that validation chose."""
        tried, result = self.best, self.best.result
        if self.delivers_twin and self.best_twin:
            tried, result = self.best_twin, self.best_twin.twin
        assert result is not None
        return tried, result

    @property
    def begins_from(self) -> str | None:
        """The budget from whose student's channels the training began that validation chose."""
        budget, recipe = self.widest or ("", None)
        return budget if recipe and can_begin_from(self.chosen[0].candidate.recipe, recipe) else None

    @property
    def student(self) -> TaskResult:
        """The training that is delivered: what was chosen, or its refit."""
        return self.twin if self.delivers_twin and self.twin else self.taught

    @property
    def taught(self) -> TaskResult:
        """The best student's training, or its refit; the one with the teacher where there are twins."""
        assert self.best.result is not None
        return _better(self.best.result, self.refit)

    @property
    def twin(self) -> TaskResult | None:
        """The best twin's training, or its refit; None without twins."""
        if self.best_twin is None:
            return None
        assert self.best_twin.twin is not None
        return _better(self.best_twin.twin, self.twin_refit)


def _better(chosen: TaskResult, refit: TaskResult | None) -> TaskResult:
    """Return ``refit``, unless it went wrong: it has seen the validation texts, so it must know them at least as well."""
    return chosen if refit is None or refit.validation_accuracy < chosen.validation_accuracy else refit


@dataclass(frozen=True)
class Plan:
    """What all trials of a job share.

    Attributes:
        base: recipe of everything that the search does not choose.
        any_student: the student of ``base`` is a proposal, not what the user asked for.
        classes: number of classes.
        texts: training texts, unlabelled ones included.
        held_out: validation texts from which a refit learns; 0 for no refit.
        objective: fields of ``Objective``.
        class_weight: one weight per class, or None.
        taught: a teacher is used.
        joint: the teacher learns beside the student.
        brought: joint mode: the module that the user brought, None for a wide network made here.
        teacher_is_optional: it was trained here, and no one asked for it.
        seed: of the search and of every training.
        epochs: passes over the texts or images, None for what their number suggests.
        budgets: how many there are; the trainings of images share a fixed amount of work.
        build: recipe to a float program that was not trained.
        quantization: how students become integers.
        widest: the first candidate of the largest budget, from which narrower ones begin; None where none can.
    """

    base: Recipe
    classes: int
    texts: int
    held_out: int
    objective: Mapping[str, Any]
    class_weight: tuple[float, ...] | None
    taught: bool
    joint: bool
    brought: Brought | None
    teacher_is_optional: bool
    seed: int
    epochs: int | None
    budgets: int
    build: Callable[[Recipe], Program]
    any_student: bool = False
    quantization: QuantizationPlan = field(default_factory=QuantizationPlan)
    widest: Candidate | None = None

    def task(self, candidate: Candidate, *, taught: bool, share: float = 1.0, refit: bool = False) -> TrainingTask:
        """Return the training of ``candidate``; ``share`` of the steps for a short one."""
        schedule = Schedule(
            dropout=candidate.dropout,
            learning_rate=candidate.learning_rate,
            weight_decay=IMAGE_WEIGHT_DECAY if candidate.recipe.learns_as_images else Schedule.weight_decay,
            word_dropout_factor=candidate.word_dropout_factor,
            quantized_fraction=quantized_fraction_for(candidate.recipe, self.quantization.mode),
        )
        texts = self.texts + (self.held_out if refit else 0)
        steps = int(self._steps(texts, candidate.recipe, schedule.batch_size) * candidate.steps_factor * share)
        return TrainingTask(
            recipe=candidate.recipe,
            schedule=replace(schedule, steps=steps),
            objective=dict(self.objective),
            class_weight=self.class_weight,
            classes=self.classes,
            seed=self.seed,
            taught=taught,
            joint=taught and self.joint,
            brought=self.brought if taught else None,
            refit=refit,
            quantization=self.quantization,
            begins_from=self._begins_from(candidate, taught=taught),
        )

    def _begins_from(self, candidate: Candidate, *, taught: bool) -> str | None:
        """Return the key of the training whose student ``candidate`` begins from: a twin owes nothing to the teacher either."""
        if self.widest is None or not can_begin_from(candidate.recipe, self.widest.recipe):
            return None
        return self.task(self.widest, taught=taught).key

    def refits(self, candidate: Candidate, twin: Candidate | None) -> list[TrainingTask]:
        """Return the trainings of ``candidate`` and, with a teacher, of the best ``twin`` with the validation texts added."""
        student = self.task(candidate, taught=self.taught, refit=True)
        return [student] if twin is None else [student, self.task(twin, taught=False, refit=True)]

    def _steps(self, examples: int, recipe: Recipe, batch_size: int) -> int:
        if not recipe.learns_as_images:
            return steps_for(examples, batch_size=batch_size, epochs=self.epochs)
        recipes = [recipe, trainer_recipe(recipe)] if self.joint else [recipe]
        work = sum(training_work(self.build(each)) for each in recipes)
        students = self.budgets * (2 if self.taught else 1)
        return image_steps_for(examples, work=work, students=students, batch_size=batch_size, epochs=self.epochs)


class Searches:
    """The searches for all budgets of a job, side by side.

    Args:
        budgets: what each student must keep to.
        plan: what all trials share.
        size_of: recipe to bytes of each format.
    """

    def __init__(self, budgets: Sequence[Budget], plan: Plan, *, size_of: SizeOf) -> None:
        self.plan, self.size_of = plan, size_of
        self.budgets = {budget.name: budget for budget in budgets}
        self.studies = {
            budget.name: Study(
                budget=budget,
                base=with_student(plan.base, budget=budget, size_of=size_of) if plan.any_student else plan.base,
                size_of=size_of,
                seed=plan.seed,
            )
            for budget in budgets
        }
        self.tried: dict[str, list[Tried]] = {text: [] for text in self.budgets}
        self.refits: dict[str, tuple[TaskResult, TaskResult | None]] = {}
        self.widest: tuple[str, Candidate] | None = None

    def good_enough(self, wanted: float | None) -> bool:
        """Return whether the best trial of every budget reached ``wanted`` accuracy on validation; False without a wish."""
        found = self.selections()
        return (
            wanted is not None
            and len(found) == len(self.budgets)
            and all(s.chosen[1].validation_accuracy >= wanted for s in found)
        )

    def run(self, job: Job, workers: Workers, *, wanted: float | None, folder: JobFolder, progress: Progress) -> None:
        """Search until trials or time are used up or ``wanted`` is reached; interrupted, ``selections`` has what was finished.

        The seeded recipe is trained first, to its last step. Then come brackets of successive halving (Jamieson &
        Talwalkar 2016): short trainings of a few candidates, of which the best is trained to its last step.
        """
        planned = job.trials or (None if job.time_seconds else DEFAULT_TRIALS)
        earlier = folder.searched()
        begin = time.monotonic() - earlier.seconds
        asked = 1

        def record() -> None:
            folder.record_search(Searched(time.monotonic() - begin, max(asked, earlier.trials)))

        def train(tasks: list[TrainingTask], title: str) -> list[TaskResult]:
            return train_all(tasks, workers, progress=progress, title=title, on_point=record)

        first = self._ask(1)
        self.widest = _widest({text: a.candidate for text, asked in first.items() for a in asked})
        self.plan = replace(self.plan, widest=self.widest[1] if self.widest else None)
        self._finish(first, train, workers=workers, title="training", refit_too=planned == 1)
        while planned is None or asked < planned:
            used_up = job.time_seconds is not None and time.monotonic() - begin >= job.time_seconds
            # what an earlier run began belongs to the result: without it, the same command would find less the second time
            if (used_up or self.good_enough(wanted)) and asked >= earlier.trials:
                break
            size = BRACKET if planned is None else min(BRACKET, planned - asked)
            title = f"trials {asked + 1} to {asked + size}" + (f" of {planned}" if planned else "")
            asked += size
            record()
            promoted = self._shorten(self._ask(size), train, title=f"{title}: short trainings")
            self._finish(promoted, train, workers=workers, title=f"{title}: training the best")
        record()

    def refit(self, workers: Workers, *, progress: Progress) -> None:
        """Train what was chosen once more with the validation texts added: they have served their purpose.

        Nothing to do for a plan that holds none out.
        """
        if not self.plan.held_out:
            return
        tasks: dict[str, list[TrainingTask]] = {}
        for found in self.selections():
            best_twin = found.best_twin
            tasks[found.budget] = self.plan.refits(found.best.candidate, best_twin.candidate if best_twin else None)
        train_all(
            [task for pair in tasks.values() for task in pair], workers, progress=progress, title="training on all examples"
        )
        for text, pair in tasks.items():
            student, *twin = (workers.result(task) for task in pair)
            self.refits[text] = (student, twin[0] if twin else None)

    def selections(self) -> list[Selection]:
        """Return what was found for each budget with at least one finished trial, in the order of the budgets."""
        found = [(text, b.file_bytes) for text, b in self.budgets.items() if any(t.result for t in self.tried[text])]
        selections = []
        widest = (self.widest[0], self.widest[1].recipe) if self.widest else None
        for text, size in found:
            refit, twin_refit = self.refits.get(text, (None, None))
            optional = self.plan.teacher_is_optional
            found_trials = tuple(self.tried[text])
            selections.append(
                Selection(text, size, found_trials, refit, twin_refit, optional, self.plan.quantization, widest=widest)
            )
        return selections

    def _ask(self, count: int) -> dict[str, list[Asked]]:
        """Return up to ``count`` new candidates for each budget."""
        return {text: [a for _ in range(count) if (a := study.ask())] for text, study in self.studies.items()}

    def _shorten(self, asked: dict[str, list[Asked]], train: Train, *, title: str) -> dict[str, list[Asked]]:
        """Train every candidate for a share of the steps and return the best of each budget."""
        tasks = {
            (text, a.number): self.plan.task(a.candidate, taught=self.plan.taught, share=1 / HALVING_FACTOR)
            for text, found in asked.items()
            for a in found
        }
        results = dict(zip(tasks, train(list(tasks.values()), title), strict=True))
        promoted: dict[str, list[Asked]] = {}
        for text, found in asked.items():
            reached = {a.number: results[text, a.number].validation_accuracy for a in found}
            for a in found:
                self.studies[text].tell(a, reached[a.number])
            best = max(found, key=lambda a: (reached[a.number], -a.number), default=None)
            promoted[text] = [best] if best else []
            self.tried[text] += [self._tried(text, a, results[text, a.number]) for a in found if a is not best]
        return promoted

    def _finish(
        self, asked: dict[str, list[Asked]], train: Train, *, workers: Workers, title: str, refit_too: bool = False
    ) -> None:
        """Train candidates to their last step, each beside its twin without the teacher.

        Where nothing is left to choose, ``refit_too`` trains them on all texts at the same time, in processes that would
        stand idle.
        """
        pairs = [(text, a, self._pair(a)) for text, found in asked.items() for a in found]
        tasks = [task for _, _, pair in pairs for task in pair]
        if refit_too and self.plan.held_out and len(tasks) < workers.count:
            for _, a, _ in pairs:
                tasks += self.plan.refits(a.candidate, a.candidate if self.plan.taught else None)
        try:
            train(tasks, title)
        finally:
            # when it was interrupted, the trials that are whole count
            for text, a, pair in pairs:
                if all(workers.has_finished(task) for task in pair):
                    student, *twin = (workers.result(task) for task in pair)
                    tried = self._tried(text, a, student)
                    self.tried[text].append(replace(tried, result=student, twin=twin[0] if twin else None))

    def _tried(self, text: str, asked: Asked, last: TaskResult) -> Tried:
        sizes = self.size_of(asked.candidate.recipe)
        size_bytes = max(sizes[name] for name in self.budgets[text].formats)
        return Tried(asked.number, asked.candidate, size_bytes, last.validation_accuracy, last.seconds, result=None, twin=None)

    def _pair(self, asked: Asked) -> list[TrainingTask]:
        if not self.plan.taught:
            return [self.plan.task(asked.candidate, taught=False)]
        return [self.plan.task(asked.candidate, taught=True), self.plan.task(asked.candidate, taught=False)]


def _widest(candidates: Mapping[str, Candidate]) -> tuple[str, Candidate] | None:
    """Return the budget and the candidate from which most of the others can begin; None where none can."""
    begun = {
        text: sum(can_begin_from(other.recipe, c.recipe) for other in candidates.values()) for text, c in candidates.items()
    }
    widest = max(begun, key=lambda text: begun[text], default=None)
    return (widest, candidates[widest]) if widest is not None and begun[widest] else None
