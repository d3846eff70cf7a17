"""Layers on the numbers of a vector: a multilayer perceptron, standardization in front."""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Program, Softmax
from understudy.students.recipe import Recipe
from understudy.students.weights import linear, unfitted


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[d] numbers -> [classes]``; ``hidden`` 0 leaves the second layer out."""
    rng = np.random.default_rng(seed)
    source = unfitted(recipe)
    shape = (recipe.width, source.shape[0])
    first = linear(rng, source.output, "first", shape=shape, recipe=recipe, relu=True, bias=True)
    second = linear(rng, "first", "second", shape=(recipe.hidden, recipe.width), recipe=recipe, relu=True, bias=True)
    layers = (first, second) if recipe.hidden else (first,)
    last = linear(
        rng, layers[-1].output, "logits", shape=(classes, len(layers[-1].weight)), recipe=recipe, relu=False, bias=True
    )
    return Program((source, *layers, last, Softmax("logits", "probabilities")))
