"""T·d bits of a locality-sensitive hash over a text's features or a vector, an optional hidden layer, classes.

ProjectionNet (Ravi 2017, arXiv 1708.00630, section 3). The sparse input vector is the counts of character n-grams; each
n-gram's random weight follows from its hash, so a bit is the sign of a sum of hashed signs and no matrix is stored.
A vector's hyperplanes go through the mean of each number. Files store them in 4 bits a number; nothing of them is learned.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Node, Program, ProjectText, ProjectVector, Softmax
from understudy.projections.dense import DenseProjection
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.students.recipe import Recipe
from understudy.students.weights import linear, unfitted

BITS = 8
"""d, of each of the T functions of a vector."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``-> [classes]``; ``features`` is T·d, ``hidden`` 0 is the published linear one."""
    rng = np.random.default_rng(seed)
    hidden = linear(rng, "features", "hidden", shape=(recipe.hidden, recipe.features), recipe=recipe, relu=True, bias=True)
    layers = (hidden,) if recipe.hidden else ()
    source, inputs = ("hidden", recipe.hidden) if recipe.hidden else ("features", recipe.features)
    last = linear(rng, source, "logits", shape=(classes, inputs), recipe=recipe, relu=False, bias=True)
    return Program((*_features(recipe), *layers, last, Softmax("logits", "probabilities")))


def _features(recipe: Recipe) -> tuple[Node, ...]:
    """Return what makes the bits of a text or of a vector."""
    if recipe.input_shape is not None:
        numbers = unfitted(recipe)
        hyperplanes = DenseProjection(
            numbers.shape[0], functions=recipe.features // BITS, bits=BITS, seed=recipe.projection_seed
        )
        return (numbers, ProjectVector(numbers.output, "features", hyperplanes))
    projection = TextProjection(
        groups=(FeatureGroup("character", recipe.features),),
        max_bytes=recipe.max_bytes,
        max_words=recipe.max_words,
        pooling="utterance",
        values="binary",
        seed=recipe.projection_seed,
    )
    return (ProjectText("bytes", "features", projection),)
