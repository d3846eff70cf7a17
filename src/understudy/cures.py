"""What is done where quantization costs a student too much: cures in turn, each kept only if validation accuracy rises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from understudy.compression.quantize.equalize import equalizable
from understudy.compression.quantize.noise import layer_noise
from understudy.compression.quantize.plan import QuantizationPlan
from understudy.compression.quantize.shape import quantized_shape
from understudy.program.ops import Program
from understudy.quantization_measurements import Cure, QuantizationRecord
from understudy.quantization_measurements import LayerNoise as LayerNoiseRecord
from understudy.search.space import WIDTH_STEP, Budget
from understudy.students.recipe import Recipe
from understudy.students.registry import STUDENTS, build_student
from understudy.training.schedule import quantized_fraction_for
from understudy.training.task import TaskResult, TrainingTask
from understudy.training.workers import Workers, train_all

if TYPE_CHECKING:
    from understudy.data.dataset import Dataset
    from understudy.progress import Progress
    from understudy.selection import Plan, Selection, Tried

NOISE_EXAMPLES = 256
"""Validation examples on which the noise of layers is measured, evenly spread."""
SizesOf = Callable[[Program], Mapping[str, int]]
"""Integer program to bytes of each format, and to the other limits of a budget."""


def noise_of(result: TaskResult, dataset: Dataset) -> tuple[LayerNoiseRecord, ...]:
    """Return the noise of every layer of ``result`` on validation inputs."""
    inputs = dataset.validation.inputs(result.program)
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(NOISE_EXAMPLES, len(inputs))).astype(np.int64))
    found = layer_noise(result.float_program, result.program, inputs[rows])
    return tuple(LayerNoiseRecord(**asdict(noise)) for noise in found)


def accepted_drop(max_drop: float, dataset: Dataset) -> float:
    """Return the loss of validation accuracy that starts no cure: ``max_drop``, and one example in any case."""
    return max(max_drop, 1 / len(dataset.validation))


def quantization_record(selection: Selection, dataset: Dataset, *, max_drop: float) -> QuantizationRecord:
    """Return what rounding to integers cost the student that ``selection`` delivers."""
    _, chosen = selection.chosen
    first = selection.uncured or chosen
    return QuantizationRecord(
        mode=selection.quantization.mode,
        weight_range=selection.quantization.ranges.weights,
        activation_range=selection.quantization.ranges.activations,
        max_drop=accepted_drop(max_drop, dataset),
        float_accuracy=first.float_accuracy,
        first_accuracy=first.validation_accuracy,
        accuracy=chosen.validation_accuracy,
        layers=noise_of(selection.student, dataset),
        first_layers=noise_of(first, dataset) if selection.cures else (),
        cures=selection.cures,
    )


def cured(
    selection: Selection,
    plan: Plan,
    *,
    budget: Budget,
    max_drop: float,
    sizes_of: SizesOf,
    dataset: Dataset,
    workers: Workers,
    progress: Progress,
) -> Selection:
    """Return ``selection`` with the cures that helped; as it is where quantization costs its student at most ``max_drop``.

    The cures are tried on what validation chose, one after the other until the loss is small enough, each on top of what was
    kept before: training with rounded weights, cross-layer equalization, a scale per channel, and 8 bits for the 4-bit layer
    that the logits suffer from most, then for the next. Where scales or the bits of the first such layer pass the budget, a
    student that is as much narrower is trained for them. Refit and twin then get what was kept, where that helps them.

    Args:
        selection: what the search found for one budget.
        plan: what all of its trainings share.
        budget: what every cure keeps to.
        max_drop: the largest loss of validation accuracy against the float student; one example is no loss.
        sizes_of: integer program to what ``budget`` limits.
        dataset: has the validation examples.
        workers: train what is tried.
        progress: listens.
    """
    tried, chosen = selection.chosen
    task = plan.task(tried.candidate, taught=plan.taught and not selection.delivers_twin)
    wanted = chosen.float_accuracy - accepted_drop(max_drop, dataset)
    room = _Room(budget, sizes_of)
    treatment = _Treatment(task, room, workers, progress, chosen, wanted)
    treatment.run(dataset)
    if not treatment.cures:
        return selection
    found = replace(selection, cures=tuple(treatment.cures), uncured=chosen, decided=selection.delivers_twin)
    if treatment.quantization == task.quantization:
        return found
    return _applied(found, plan, treatment.quantization, room=room, workers=workers, progress=progress)


def requantized(task: TrainingTask, quantization: QuantizationPlan) -> TrainingTask:
    """Return the training that takes the weights that ``task`` has learned and quantizes them as ``quantization`` says.

    What was learned beside its teacher goes on with the labels alone: that teacher has no answers on file.
    """
    fraction = quantized_fraction_for(task.recipe, quantization.mode)
    return replace(
        task,
        quantization=quantization,
        after=task.key,
        schedule=replace(task.schedule, quantized_fraction=fraction),
        taught=task.taught and not task.joint,
        joint=False,
        brought=None,
    )


@dataclass(frozen=True)
class _Room:
    """What a budget leaves for the students of a recipe."""

    budget: Budget
    sizes_of: SizesOf

    def size_bytes(self, program: Program) -> int:
        """Return the bytes of the largest file of a float ``program``, once it is quantized."""
        sizes = self.sizes_of(quantized_shape(program))
        return max(sizes[name] for name in self.budget.formats)

    def holds(self, program: Program) -> bool:
        """Return whether a float ``program`` keeps to every limit, once it is quantized."""
        sizes = self.sizes_of(quantized_shape(program))
        return all(sizes[name] <= limit for name, limit in self.budget.limits.items())

    def fitting(self, task: TrainingTask, quantization: QuantizationPlan) -> TrainingTask | None:
        """Return ``task``, with the widest recipe up to its own that ``quantization`` leaves within the budget.

        None where no width does, and for a network that was brought, which has no other.
        """
        if task.recipe.student not in STUDENTS:
            return None

        def recipe(steps: int) -> Recipe:
            width = steps * WIDTH_STEP
            hidden = int(task.recipe.hidden * width / task.recipe.width) // WIDTH_STEP * WIDTH_STEP
            return replace(task.recipe, width=width, hidden=max(WIDTH_STEP, hidden) if task.recipe.hidden else 0)

        def fits(narrower: Recipe) -> bool:
            return self.holds(quantization.applied(build_student(narrower, classes=task.classes, seed=0)))

        if fits(task.recipe):
            return task
        low, high = 0, (task.recipe.width - 1) // WIDTH_STEP
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(recipe(middle)) else (low, middle - 1)
        return replace(task, recipe=recipe(low)) if low else None


@dataclass
class _Treatment:
    """The cures of one student: what was kept so far, and what it reached."""

    task: TrainingTask
    room: _Room
    workers: Workers
    progress: Progress
    found: TaskResult
    wanted: float
    quantization: QuantizationPlan = field(init=False)
    cures: list[Cure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quantization = self.task.quantization
        self.learned = self.found.float_program

    def run(self, dataset: Dataset) -> None:
        """Try every cure that changes something until ``wanted`` is reached."""
        if self.quantization.mode != "qat":
            self._try("qat", lambda known: replace(known, mode="qat"))
        if equalizable(self.learned):
            self._try("equalization", lambda known: replace(known, equalized=True))
        if not all(layer.per_channel for layer in self.learned.layers):
            self._try("per-channel", lambda known: replace(known, per_channel=True), may_be_narrower=True)
        if self._is_enough():
            return
        noise = [layer for layer in noise_of(self.found, dataset) if layer.bits < 8]
        noise.sort(key=lambda each: np.inf if each.alone_db is None else each.alone_db)
        for layer in noise:
            # a training from the beginning is worth its time for the worst layer only
            self._try(f"8 bits for {layer.layer}", partial(_with_eight_bits, layer.layer), may_be_narrower=layer is noise[0])

    def _is_enough(self) -> bool:
        return self.found.validation_accuracy >= self.wanted - 1e-9

    def _try(self, name: str, change: Callable[[QuantizationPlan], QuantizationPlan], *, may_be_narrower: bool = False) -> None:
        if self._is_enough():
            return
        proposal, task = change(self.quantization), self.task
        title = f"quantization of {self.room.budget.name}: {name}"
        if not self.room.holds(proposal.applied(self.learned)):
            narrower = self.room.fitting(task, proposal) if may_be_narrower else None
            if narrower is None:
                size_bytes = self.room.size_bytes(proposal.applied(self.learned))
                self.cures.append(Cure(name=name, state="too large", size_bytes=size_bytes))
                return
            train_all([narrower], self.workers, progress=self.progress, title=f"{title}, a narrower student")
            task = narrower
        [result] = train_all([requantized(task, proposal)], self.workers, progress=self.progress, title=title)
        is_better = result.validation_accuracy > self.found.validation_accuracy
        self.cures.append(
            Cure(
                name=name,
                state="kept" if is_better else "no better",
                validation_accuracy=result.validation_accuracy,
                size_bytes=self.room.size_bytes(proposal.applied(result.float_program)),
                width=None if task is self.task else task.recipe.width,
            )
        )
        if is_better:
            self.quantization, self.found, self.task, self.learned = proposal, result, task, result.float_program


def _with_eight_bits(layer: str, known: QuantizationPlan) -> QuantizationPlan:
    return replace(known, eight_bits=(*known.eight_bits, layer))


def _applied(
    selection: Selection,
    plan: Plan,
    quantization: QuantizationPlan,
    *,
    room: _Room,
    workers: Workers,
    progress: Progress,
) -> Selection:
    """Return ``selection`` with every training that counts quantized anew, where that makes it no worse."""
    best, best_twin = selection.best, selection.best_twin
    assert best.result is not None
    trained = [(plan.task(best.candidate, taught=plan.taught), best.result)]
    if best_twin is not None and best_twin.twin is not None:
        trained.append((plan.task(best_twin.candidate, taught=False), best_twin.twin))
    refits = plan.refits(best.candidate, best_twin.candidate if best_twin else None)
    trained += [
        (task, result)
        for task, result in zip(refits, (selection.refit, selection.twin_refit), strict=False)
        if result is not None
    ]
    fitting = [room.fitting(task, quantization) or task for task, _ in trained]
    title = f"quantization of {room.budget.name}: refit and twin"
    narrower = [task for task, (wide, _) in zip(fitting, trained, strict=True) if task is not wide]
    if narrower:
        train_all(narrower, workers, progress=progress, title=f"{title}, narrower")
    results = train_all([requantized(task, quantization) for task in fitting], workers, progress=progress, title=title)
    anew, recipes = {}, {}
    for (_, before), task, after in zip(trained, fitting, results, strict=True):
        if after.validation_accuracy >= before.validation_accuracy:
            # what was learned beside its teacher was quantized without it, and still is what that teacher taught
            kept = replace(after, trainer=before.trainer, trainer_weights=before.trainer_weights)
            anew[id(before)], recipes[id(kept)] = kept, task.recipe

    def now(result: TaskResult | None) -> TaskResult | None:
        return anew.get(id(result), result)

    def trial(tried: Tried) -> Tried:
        if id(tried.result) not in anew and id(tried.twin) not in anew:
            return tried
        result, twin = now(tried.result), now(tried.twin)
        counted = twin if selection.delivers_twin else result
        assert result is not None
        assert counted is not None
        return replace(
            tried,
            candidate=replace(tried.candidate, recipe=recipes.get(id(counted), tried.candidate.recipe)),
            result=result,
            twin=twin,
            validation_accuracy=result.validation_accuracy,
            size_bytes=room.size_bytes(counted.float_program),
        )

    return replace(
        selection,
        trials=tuple(trial(tried) for tried in selection.trials),
        refit=now(selection.refit),
        twin_refit=now(selection.twin_refit),
        quantization=quantization,
    )
