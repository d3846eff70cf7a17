"""What a search is made of: the trainings that a job's candidates ask for, its trials, and what validation chose of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from understudy.compression.quantize.plan import QuantizationPlan
from understudy.metrics import standard_error
from understudy.program.cost import training_work
from understudy.program.ops import Program
from understudy.quantization_measurements import Cure
from understudy.search.space import Candidate
from understudy.students.recipe import Recipe
from understudy.training.inheritance import can_begin_from
from understudy.training.schedule import (
    IMAGE_WEIGHT_DECAY,
    PARENT_FACTORS,
    WORK_IN_A_JOB,
    Schedule,
    feature_dropout_for,
    image_steps_for,
    most_image_steps,
    quantized_fraction_for,
    steps_for,
)
from understudy.training.task import TaskResult, TrainingTask, trainer_recipe
from understudy.training.trainer import Brought


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
        recombined: the student learned from recombined texts too, so its twin has to be clearly better.
        quantization: how its students were quantized.
        cures: what was tried because that cost too much; the trainings above are then those with what was kept.
        uncured: the training that was chosen before any cure.
        decided: whether the twin is delivered, where that was decided before the cures.
        parent: the recipe that narrower students begin from, and the budget whose student it is, None for one that is not
            delivered; None where none begins from another.
    """

    budget: str
    budget_bytes: int
    trials: tuple[Tried, ...]
    refit: TaskResult | None = None
    twin_refit: TaskResult | None = None
    teacher_is_optional: bool = False
    recombined: bool = False
    quantization: QuantizationPlan = field(default_factory=QuantizationPlan)
    cures: tuple[Cure, ...] = ()
    uncured: TaskResult | None = None
    decided: bool | None = None
    parent: tuple[Recipe, str | None] | None = None

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
        """Whether the best twin is delivered in place of the best student, being better on validation.

        Where the student learned from recombined texts too, the lead must be more than a standard error: a smaller one is
        mostly chance among few texts, and such a student is better than its twin as a rule (``docs/adr/0045``).
        """
        twin, reached = self.best_twin, self.best.validation_accuracy
        if self.decided is not None:
            return self.decided
        if not self.teacher_is_optional or twin is None or twin.twin is None:
            return False
        examples = len(twin.twin.validation_probabilities)
        margin = standard_error(reached, examples) if self.recombined else 0.0
        return twin.twin.validation_accuracy > reached + margin

    @property
    def chosen(self) -> tuple[Tried, TaskResult]:
        """The trial and its training that validation chose."""
        tried, result = self.best, self.best.result
        if self.delivers_twin and self.best_twin:
            tried, result = self.best_twin, self.best_twin.twin
        assert result is not None
        return tried, result

    @property
    def began_from(self) -> tuple[Recipe, str | None] | None:
        """``parent``, where the training that validation chose began from its channels; None for random weights."""
        return self.parent if self.parent and can_begin_from(self.chosen[0].candidate.recipe, self.parent[0]) else None

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
        epochs: passes over the labelled texts or images, None for what their number suggests.
        budgets: how many there are; the trainings of images share a fixed amount of work.
        build: recipe to a float program that was not trained.
        recombined: the lesson has texts that only the teacher has an answer to, made of the training texts.
        quantization: how students become integers.
        parent: what narrower students begin from, the first candidate of the largest budget or ``wider``; None for nothing.
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
    recombined: bool = False
    quantization: QuantizationPlan = field(default_factory=QuantizationPlan)
    parent: Candidate | None = None

    def task(self, candidate: Candidate, *, taught: bool, share: float = 1.0, refit: bool = False) -> TrainingTask:
        """Return the training of ``candidate``; ``share`` of the steps for a short one.

        Recombined texts come on top of a batch's labelled ones, of which the twin sees as many.
        """
        schedule = Schedule(
            dropout=candidate.dropout,
            learning_rate=candidate.learning_rate,
            weight_decay=IMAGE_WEIGHT_DECAY if candidate.recipe.learns_as_images else Schedule.weight_decay,
            word_dropout_factor=candidate.word_dropout_factor,
            feature_dropout=feature_dropout_for(candidate.recipe, classes=self.classes, texts=self.texts),
            quantized_fraction=quantized_fraction_for(candidate.recipe, self.quantization.mode),
        )
        steps = self._steps(self._examples(refit=refit), candidate.recipe, schedule.batch_size)
        return TrainingTask(
            recipe=candidate.recipe,
            schedule=replace(
                schedule,
                steps=int(steps * candidate.steps_factor * share),
                batch_size=schedule.batch_size * (2 if taught and self.recombined else 1),
            ),
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
        if self.parent is None or not can_begin_from(candidate.recipe, self.parent.recipe):
            return None
        return self.task(self.parent, taught=taught).key

    def wider(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the widest plain CNN that there is work left for besides ``candidates``, of which some can begin from it.

        There is where images are few: a training that goes over them as often as is good for it takes a share of a job's work.
        None where there is not, or where the passes are asked for.
        """
        plain = [c for c in candidates if c.recipe.student == "plain_cnn"]
        if not plain or self.epochs is not None:
            return None
        left = WORK_IN_A_JOB - sum(self._work_of_pair(candidate) for candidate in candidates)
        widest = max(plain, key=lambda c: c.recipe.width)
        hidden = max(c.recipe.hidden for c in plain)
        for factor in PARENT_FACTORS:
            recipe = replace(widest.recipe, width=int(widest.recipe.width * factor), hidden=int(hidden * factor))
            parent = replace(widest, recipe=recipe)
            if self._work_of_pair(parent) <= left:
                return parent
        return None

    def _work_of_pair(self, candidate: Candidate) -> int:
        return sum(self.work(self.task(candidate, taught=taught)) for taught in {self.taught, False})

    def refits(self, candidate: Candidate, twin: Candidate | None) -> list[TrainingTask]:
        """Return the trainings of ``candidate`` and, with a teacher, of the best ``twin`` with the validation texts added."""
        student = self.task(candidate, taught=self.taught, refit=True)
        return [student] if twin is None else [student, self.task(twin, taught=False, refit=True)]

    def work(self, task: TrainingTask) -> int:
        """Return what ``task`` costs, in multiply-accumulates of the forward pass that take as long."""
        return task.schedule.steps * task.schedule.batch_size * self._work_of_an_example(task.recipe)

    def passes(self, task: TrainingTask) -> float:
        """Return how often ``task`` goes over its examples, as ``epochs`` counts them."""
        return task.schedule.steps / -(-self._examples(refit=task.refit) // Schedule.batch_size)

    def most_passes(self, task: TrainingTask) -> int:
        """Return how many passes ``task`` may have where there is time; for all but images these are the usual ones."""
        if not task.recipe.learns_as_images:
            return int(self.passes(task))
        examples = self._examples(refit=task.refit)
        return most_image_steps(examples, batch_size=Schedule.batch_size) // -(-examples // Schedule.batch_size)

    def _examples(self, *, refit: bool) -> int:
        return self.texts + (self.held_out if refit else 0)

    def _steps(self, examples: int, recipe: Recipe, batch_size: int) -> int:
        if not recipe.learns_as_images:
            long = self.recombined or recipe.is_narrow(self.classes)
            return steps_for(examples, batch_size=batch_size, epochs=self.epochs, long=long)
        students = self.budgets * (2 if self.taught else 1)
        work = self._work_of_an_example(recipe)
        return image_steps_for(examples, work=work, students=students, batch_size=batch_size, epochs=self.epochs)

    def _work_of_an_example(self, recipe: Recipe) -> int:
        recipes = [recipe, trainer_recipe(recipe)] if self.joint else [recipe]
        return sum(training_work(self.build(each)) for each in recipes)
