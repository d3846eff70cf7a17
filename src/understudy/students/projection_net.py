"""T·d bits of a locality-sensitive hash over the text's features, an optional hidden layer, classes.

ProjectionNet (Ravi 2017, arXiv 1708.00630, section 3). The sparse input vector is the counts of character n-grams; each
n-gram's random weight follows from its hash, so a bit is the sign of a sum of hashed signs and no matrix is stored.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Program, ProjectText, Softmax
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.students.recipe import Recipe
from understudy.students.weights import linear


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[L] bytes -> [classes]``; ``features`` is T·d, ``hidden`` 0 is the published linear one."""
    rng = np.random.default_rng(seed)
    projection = TextProjection(
        groups=(FeatureGroup("character", recipe.features),),
        max_bytes=recipe.max_bytes,
        max_words=recipe.max_words,
        pooling="utterance",
        values="binary",
        seed=recipe.projection_seed,
    )
    hidden = linear(rng, "features", "hidden", shape=(recipe.hidden, recipe.features), recipe=recipe, relu=True, bias=True)
    layers = (hidden,) if recipe.hidden else ()
    source, inputs = ("hidden", recipe.hidden) if recipe.hidden else ("features", recipe.features)
    last = linear(rng, source, "logits", shape=(classes, inputs), recipe=recipe, relu=False, bias=True)
    return Program((ProjectText("bytes", "features", projection), *layers, last, Softmax("logits", "probabilities")))
