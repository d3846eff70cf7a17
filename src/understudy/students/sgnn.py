"""Whole-utterance projection partitioned by feature type, then hidden layers.

SGNN (Ravi & Kozareva 2018, section 3); the partition is that of SGNN++ (2019, section 3.2).
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Program, ProjectText, Softmax
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.students.recipe import Recipe
from understudy.students.weights import linear


def partition(features: int) -> tuple[FeatureGroup, ...]:
    """Return the feature groups of ``features`` columns: half characters, the rest words and pairs of words."""
    words, pairs = features // 4, features // 8
    return (
        FeatureGroup("character", features - words - 2 * pairs),
        FeatureGroup("word", words),
        FeatureGroup("skip0", pairs),
        FeatureGroup("skip1", pairs),
    )


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[L] bytes -> [classes]`` with initial weights; ``hidden`` 0 leaves the second layer out."""
    rng = np.random.default_rng(seed)
    projection = TextProjection(
        groups=partition(recipe.features),
        max_bytes=recipe.max_bytes,
        max_words=recipe.max_words,
        pooling="utterance",
        values=recipe.values,
        seed=recipe.projection_seed,
    )
    first = linear(rng, "features", "first", shape=(recipe.width, recipe.features), recipe=recipe, relu=True, bias=True)
    second = linear(rng, "first", "second", shape=(recipe.hidden, recipe.width), recipe=recipe, relu=True, bias=True)
    layers = (first, second) if recipe.hidden else (first,)
    last = linear(
        rng, layers[-1].output, "logits", shape=(classes, len(layers[-1].weight)), recipe=recipe, relu=False, bias=True
    )
    return Program((ProjectText("bytes", "features", projection), *layers, last, Softmax("logits", "probabilities")))
