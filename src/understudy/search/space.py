"""What may be tried for a budget. Knows recipes and sizes, not networks: a size is a function that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, cast

import optuna

from understudy.students.recipe import Recipe

SizeOf = Callable[[Recipe], Mapping[str, int]]
"""Recipe to bytes of each requested format."""

FEATURES = (32, 48, 64, 96, 128, 192, 256, 384, 512)
HIDDEN_RATIOS = (0.5, 0.75, 1.0, 1.5)
LARGEST_WIDTH = 512
WIDTH_STEP = 4
"""Widths are multiples of this: the LiteRT runtime computes 4-bit layers exactly only where a row is whole bytes."""
LEARNING_RATE = 2e-3
INT4_BELOW_BYTES = 64 * 1024
"""Up to here the seeded recipe has 4-bit weights: twice as many weights won on every validation split in benchmarks/."""


@dataclass(frozen=True)
class Choice:
    """A point of the search: everything but the width, which is the largest that fits the budget."""

    features: int
    hidden_ratio: float
    weight_bits: Literal[4, 8]
    per_channel: bool
    dropout: float
    learning_rate: float


SMALLEST = Choice(
    features=FEATURES[0], hidden_ratio=1.0, weight_bits=4, per_channel=False, dropout=0.0, learning_rate=LEARNING_RATE
)
"""The smallest student that the search may choose."""


@dataclass(frozen=True)
class Candidate:
    """A recipe that fits its budget, with the training choices that go with it."""

    recipe: Recipe
    dropout: float
    learning_rate: float


def seeded_choice(budget_bytes: int, *, bits: Literal[4, 8] | None) -> Choice:
    """Return the choice that the search begins with: a good recipe for a budget of this size."""
    features = next((p for p, limit in ((96, 8), (128, 12), (192, 24), (256, 48)) if budget_bytes < limit * 1024), 384)
    weight_bits: Literal[4, 8] = bits or (4 if budget_bytes <= INT4_BELOW_BYTES else 8)
    return Choice(features, 1.0, weight_bits, per_channel=budget_bytes >= 24 * 1024, dropout=0.1, learning_rate=LEARNING_RATE)


def sample_choice(trial: optuna.Trial, budget_bytes: int, *, bits: Literal[4, 8] | None) -> Choice:
    """Return the choice that ``trial`` suggests."""
    seed = seeded_choice(budget_bytes, bits=bits)
    at = FEATURES.index(seed.features)
    near = FEATURES[max(0, at - 2) : at + 3]
    return Choice(
        features=near[trial.suggest_int("features", 0, len(near) - 1)],
        hidden_ratio=HIDDEN_RATIOS[trial.suggest_int("hidden_ratio", 0, len(HIDDEN_RATIOS) - 1)],
        weight_bits=bits or cast(Literal[4, 8], trial.suggest_categorical("weight_bits", (4, 8))),
        per_channel=trial.suggest_categorical("per_channel", (False, True)),
        dropout=trial.suggest_float("dropout", 0.0, 0.3),
        learning_rate=trial.suggest_float("learning_rate", 1e-3, 4e-3, log=True),
    )


def parameters_of(choice: Choice, budget_bytes: int, *, bits: Literal[4, 8] | None) -> dict[str, object]:
    """Return ``choice`` as the parameters that ``sample_choice`` reads back."""
    seed = seeded_choice(budget_bytes, bits=bits)
    at = FEATURES.index(seed.features)
    near = FEATURES[max(0, at - 2) : at + 3]
    parameters: dict[str, object] = {
        "features": near.index(choice.features),
        "hidden_ratio": HIDDEN_RATIOS.index(choice.hidden_ratio),
        "per_channel": choice.per_channel,
        "dropout": choice.dropout,
        "learning_rate": choice.learning_rate,
    }
    return parameters if bits else {**parameters, "weight_bits": choice.weight_bits}


def recipe_of(choice: Choice, base: Recipe, width: int) -> Recipe:
    """Return ``base`` with ``choice`` and a first layer of ``width`` outputs."""
    return replace(
        base,
        features=choice.features,
        width=width,
        hidden=max(1, int(width * choice.hidden_ratio) // WIDTH_STEP) * WIDTH_STEP,
        weight_bits=choice.weight_bits,
        per_channel=choice.per_channel,
    )


def fit(choice: Choice, base: Recipe, *, budget_bytes: int, size_of: SizeOf) -> Candidate | None:
    """Return the widest candidate of ``choice`` whose every file fits ``budget_bytes``, or None when none does."""

    @cache
    def fits(steps: int) -> bool:
        return max(size_of(recipe_of(choice, base, steps * WIDTH_STEP)).values()) <= budget_bytes

    low, high = 1, LARGEST_WIDTH // WIDTH_STEP
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return Candidate(recipe_of(choice, base, low * WIDTH_STEP), choice.dropout, choice.learning_rate)


def smallest(base: Recipe, *, size_of: SizeOf) -> tuple[int, str]:
    """Return the smallest reachable size in bytes of ``base``'s student and the format that binds it."""
    recipe = recipe_of(SMALLEST, base, WIDTH_STEP)
    if base.student != "projection_sequence":
        recipe = replace(recipe, hidden=0)
    sizes = size_of(recipe)
    binding = max(sizes, key=lambda name: sizes[name])
    return sizes[binding], binding
