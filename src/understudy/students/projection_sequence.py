"""Per-token ternary features, a bottleneck, one look at the neighbours, sum and maximum over tokens, classes.

The lineage is PRADO (Kaliamoorthi et al. 2019), pQRNN (2020) and ProSeqo (Kozareva & Ravi 2019). Attention and gates are
left out: softmax and multiplication are not exact across kernels, and cost nothing to lose (``docs/adr``).
Layers over tokens have no bias, so that an absent token stays an exact zero through the network.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Concat, MaxPool, Program, ProjectText, Softmax, SumPool, Window
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.students.recipe import Recipe
from understudy.students.weights import linear

SUM_MULTIPLIER = 0.25
"""Brings a sum over tokens near the range of the maximum, with which it shares its scale."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[L] bytes -> [classes]`` with initial weights."""
    rng = np.random.default_rng(seed)
    projection = TextProjection(
        groups=(FeatureGroup("character", recipe.features),),
        max_bytes=recipe.max_bytes,
        max_words=recipe.max_words,
        values=recipe.values,
        seed=recipe.projection_seed,
    )
    width, hidden = recipe.width, recipe.hidden
    return Program(
        (
            ProjectText("bytes", "features", projection),
            linear(rng, "features", "tokens", shape=(width, recipe.features), recipe=recipe, relu=True, bias=False),
            Window("tokens", "windows", 3),
            linear(rng, "windows", "context", shape=(hidden, 3 * width), recipe=recipe, relu=True, bias=False),
            MaxPool("context", "largest"),
            SumPool("context", "total", SUM_MULTIPLIER),
            Concat(("total", "largest"), "pooled"),
            linear(rng, "pooled", "logits", shape=(classes, 2 * hidden), recipe=recipe, relu=False, bias=True),
            Softmax("logits", "probabilities"),
        )
    )
