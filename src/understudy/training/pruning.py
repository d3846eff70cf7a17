"""The user's own network made smaller: pruned a little, trained, pruned again; then quantization-aware steps as elsewhere.

Small cuts with training between them lose less than one large cut (Molchanov et al. 2017, arXiv 1611.06440, section 2).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from understudy.compression.prune import prune, widths_of
from understudy.compression.quantize.ranges import Ranges
from understudy.network.steps import Network, dumps, loads
from understudy.program.ops import Program
from understudy.students import pruned
from understudy.students.recipe import Recipe
from understudy.training.checkpoint import Checkpoint
from understudy.training.corpus import mixed
from understudy.training.loop import Lesson, Point, Trained, accuracy, epoch_batches, train
from understudy.training.objective import Objective
from understudy.training.placed import placed
from understudy.training.processor import Processor
from understudy.training.schedule import Schedule, one_cycle

ROUNDS = 4
"""Cuts, each of the same share of what is left."""
LAST_ROUND = 0.5
"""Share of the float steps behind the last cut."""
QUANTIZED_RATE_FACTOR = 0.3
"""Times the learning rate in the quantization-aware steps, where batch norms are part of the weights."""


@dataclass(frozen=True, eq=False)
class Stages:
    """Float programs on the way: cut to the last shapes at once and not trained, and after cuts and training."""

    cut: Program
    finetuned: Program


def train_pruned(
    network: Network,
    recipe: Recipe,
    lesson: Lesson,
    *,
    objective: Objective,
    schedule: Schedule,
    seed: int,
    checkpoints: tuple[Checkpoint, Checkpoint],
    ranges: Ranges | None = None,
    on_point: Callable[[Point], None] | None = None,
    processor: Processor | None = None,
) -> tuple[Trained, Stages]:
    """Prune and train ``network``, then quantize it; one seed gives one result on one machine's processor and thread count.

    Args:
        network: the user's, with its weights.
        recipe: says which share of the channels stays, and how weights are stored.
        lesson: images, labels and the answers of the network as it was.
        objective: the loss.
        schedule: how long and how fast; ``quantized_fraction`` of the steps come after pruning.
        seed: of batches and their variations.
        checkpoints: where the state is kept, of pruning after each round, and of the quantization-aware steps.
        ranges: how the first scales are found.
        on_point: called about twenty times; may raise to stop it.
        processor: computes the steps; None for the machine's own.
    """
    processor = processor or Processor()
    assert recipe.kept is not None
    cut = pruned.build(recipe, network)
    float_steps = int(schedule.steps * (1 - schedule.quantized_fraction))
    of_rounds, of_steps = checkpoints
    run = _Rounds(
        network,
        lesson,
        kept=recipe.kept,
        objective=objective,
        schedule=schedule,
        steps=float_steps,
        seed=seed,
        processor=processor,
    )
    run.finish(of_rounds, on_point)
    program = pruned.folded(recipe, run.network)
    trained = train(
        program,
        lesson,
        objective=objective,
        schedule=replace(
            schedule,
            steps=schedule.steps - float_steps,
            learning_rate=QUANTIZED_RATE_FACTOR * schedule.learning_rate,
            quantized_fraction=1.0,
        ),
        seed=seed,
        on_point=None if on_point is None else lambda point: on_point(replace(point, step=point.step + float_steps)),
        checkpoint=of_steps,
        ranges=ranges,
        trained=True,
        processor=processor,
    )
    behind = (replace(p, step=p.step + float_steps, seconds=p.seconds + run.seconds) for p in trained.curve)
    curve = (*run.curve, *behind)
    trained_on = tuple(dict.fromkeys([*run.trained_on, *trained.trained_on]))
    trained = replace(trained, curve=curve, seconds=trained.seconds + run.seconds, trained_on=trained_on)
    return trained, Stages(cut, program)


class _Rounds:
    """Rounds of a cut and of training behind it."""

    def __init__(
        self,
        network: Network,
        lesson: Lesson,
        *,
        kept: float,
        objective: Objective,
        schedule: Schedule,
        steps: int,
        seed: int,
        processor: Processor,
    ) -> None:
        self.network = loads(dumps(network))
        self.lesson, self.schedule, self.seed = lesson, schedule, seed
        self.objective = objective.on(processor.device)
        self.processor, self.trained_on = processor, (processor.describe(),)
        self.views = [placed(view, processor) for view in lesson.views]
        self.validation = placed(lesson.validation, processor)
        self.kept, self.steps = kept, steps
        self.widths = widths_of(network)
        self.step, self.seconds, self.round = 0, 0.0, 0
        self.curve: list[Point] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._epoch: tuple[int, Any] = (-1, [])
        self._augment = lesson.views[0].augmentation(schedule)

    def finish(self, checkpoint: Checkpoint, on_point: Callable[[Point], None] | None) -> None:
        """Run the rounds that are left; the state is kept behind each of them.

        The network is cut and kept on the machine's own processor, and trained where the steps are computed.
        """
        torch.manual_seed(self.seed)
        if state := checkpoint.load():
            self._restore(state)
        begin = time.monotonic() - self.seconds
        every = max(1, self.schedule.steps // 20)
        while self.round < ROUNDS:
            self.round += 1
            prune(self.network, self.kept ** (self.round / ROUNDS), widths=self.widths)
            self.processor.place(self.network, channels_last=True)
            optimizer = torch.optim.AdamW(
                self.network.parameters(), lr=self.schedule.learning_rate, weight_decay=self.schedule.weight_decay
            )
            end = self.steps if self.round == ROUNDS else int(self.steps * (1 - LAST_ROUND) * self.round / (ROUNDS - 1))
            while self.step < end:
                self._advance(optimizer)
                if self.step % every == 0:
                    self._measure(every, begin=begin)
                    if on_point:
                        on_point(self.curve[-1])
            Processor().place(self.network)
            self.seconds = time.monotonic() - begin
            checkpoint.save(self._state())
        self.network.train(False)

    def _advance(self, optimizer: torch.optim.Optimizer) -> None:
        lesson = self.lesson
        for group in optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate * one_cycle(self.step / self.steps)
        view, index = self._batch()
        device = self.processor.device
        images, mixture = mixed(lesson.views[view], self._augment(self.views[view].batch(index)))
        images = images.permute(0, 3, 1, 2)
        teacher = None
        if lesson.teacher_logits is not None:
            teacher = torch.from_numpy(np.array(lesson.teacher_logits[view, index])).to(device)
        labels = torch.from_numpy(lesson.labels[index]).to(device)
        self.network.train(len(index) > 1)  # of one image a batch norm learns nothing
        with self.processor.mixed():
            student = self.network(images).float()
        loss, terms = self.objective(student, labels, teacher=teacher, teacher_learns=False, mixture=mixture)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        self.step += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.double()

    def _batch(self) -> tuple[int, Any]:
        per_epoch = -(-len(self.lesson.labels) // self.schedule.batch_size)
        epoch, at = divmod(self.step, per_epoch)
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._epoch = (epoch, epoch_batches(self.lesson, self.schedule.batch_size, rng))
        found: tuple[int, Any] = self._epoch[1][at]
        return found

    def _measure(self, steps: int, *, begin: float) -> None:
        self.network.train(False)
        with torch.no_grad():
            logits = [self.network(batch.permute(0, 3, 1, 2)).cpu().numpy() for batch in self.validation.batches()]
        reached = accuracy(np.concatenate(logits), self.lesson.validation_labels)
        terms = {name: float(value) / steps for name, value in self._sums.items()}
        self.curve.append(Point(self.step, terms, reached, seconds=time.monotonic() - begin))
        self._sums = {}

    def _state(self) -> dict[str, Any]:
        return {
            "round": self.round,
            "step": self.step,
            "seconds": self.seconds,
            "network": torch.frombuffer(bytearray(dumps(self.network)), dtype=torch.uint8),
            "random": torch.get_rng_state(),
            "random_of_gpu": self.processor.random_state(),
            "trained_on": list(self.trained_on),
            "sums": self._sums,
            "curve": [list(astuple(point)) for point in self.curve],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.network = loads(state["network"].numpy().tobytes())
        self.round, self.step, self.seconds = state["round"], state["step"], state["seconds"]
        self._sums, self.curve = state["sums"], [Point(*values) for values in state["curve"]]
        torch.set_rng_state(state["random"])
        # both are absent from what an older understudy left behind
        self.processor.set_random_state(state.get("random_of_gpu"))
        self.trained_on = tuple(dict.fromkeys([*state.get("trained_on", ()), *self.trained_on]))
