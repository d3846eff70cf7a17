"""Ask and tell: candidates for one budget, from the seeded recipe on. Sees numbers only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import optuna

from understudy.search.space import (
    Budget,
    Candidate,
    SizeOf,
    first_choice,
    fit,
    narrow_training,
    parameters_of,
    sample_choice,
    variations,
)
from understudy.students.recipe import Recipe

ATTEMPTS = 20
"""Suggestions that do not fit the budget before the search gives up on finding a new one."""


@dataclass(frozen=True)
class Asked:
    """A candidate and the trial that it belongs to."""

    number: int
    candidate: Candidate


class Study:
    """The search for one budget (tree-structured Parzen estimator, Bergstra et al. 2011, through Optuna).

    The same seed, budget and answers give the same questions. The first question is the seeded recipe, the next ones
    change one thing of it; they are answers enough for the estimator to go on from.

    Args:
        budget: what every candidate keeps to.
        base: what the search does not choose (student, bytes and words read, seeds).
        size_of: recipe to bytes of each format.
        classes: how many there are.
        seed: of the sampler.
    """

    def __init__(self, *, budget: Budget, base: Recipe, size_of: SizeOf, classes: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._budget, self._base, self._size_of = budget, base, size_of
        self._classes = classes
        self._trials: dict[int, optuna.Trial] = {}
        self._asked = 0
        self._first = first_choice(base, budget=budget, size_of=size_of)
        self._frames = base.student == "projection_rnn" and base.input_shape is not None
        for choice in (self._first, *variations(self._first, student=base.student, frames=self._frames)):
            self._study.enqueue_trial(parameters_of(choice, self._first, bits=budget.bits, frames=self._frames))

    def ask(self) -> Asked | None:
        """Return the next candidate that fits the budget, or None when none is found."""
        for _ in range(ATTEMPTS):
            trial = self._study.ask()
            choice = sample_choice(trial, self._first, bits=self._budget.bits, frames=self._frames)
            candidate = fit(choice, self._base, limits=self._budget.limits, size_of=self._size_of)
            if candidate is not None:
                asked = self._numbered(narrow_training(candidate) if candidate.recipe.is_narrow(self._classes) else candidate)
                self._trials[asked.number] = trial
                return asked
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None

    def longer(self, candidate: Candidate, steps_factor: float) -> Asked:
        """Return ``candidate`` again, as a trial that learns for ``steps_factor`` times the usual steps; it is not told."""
        return self._numbered(replace(candidate, steps_factor=steps_factor))

    def _numbered(self, candidate: Candidate) -> Asked:
        self._asked += 1
        return Asked(self._asked - 1, candidate)

    def tell(self, asked: Asked, validation_accuracy: float) -> None:
        """Record what a short training of a candidate reached on validation."""
        self._study.tell(self._trials.pop(asked.number), validation_accuracy)
