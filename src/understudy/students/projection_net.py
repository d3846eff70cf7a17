"""T·d bits of a locality-sensitive hash, an optional hidden layer, classes.

ProjectionNet (Ravi 2017, arXiv 1708.00630, section 3). Of a text, the sparse input vector is the counts of character n-grams;
each n-gram's random weight follows from its hash, so a bit is the sign of a sum of hashed signs and no matrix is stored. Of an
image it is the pixels, and a bit compares two random boxes of them, which follow from a seed too. Hyperplanes through a vector
go through the mean of each number; files store them in 4 bits a number, and nothing of them is learned.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Image, Node, Program, ProjectBoxes, ProjectText, ProjectVector, Softmax
from understudy.projections.boxes import BoxProjection
from understudy.projections.dense import DenseProjection
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.students.recipe import Recipe
from understudy.students.weights import linear, unfitted

BITS = 8
"""d, of each of the T functions of a vector."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program to ``[classes]``; ``features`` is T·d, ``hidden`` 0 the published linear one.

    An image's projection has the first rows of its table; see ``training/mining.py`` for better ones.
    """
    rng = np.random.default_rng(seed)
    hidden = linear(rng, "features", "hidden", shape=(recipe.hidden, recipe.features), recipe=recipe, relu=True, bias=True)
    layers = (hidden,) if recipe.hidden else ()
    source, inputs = ("hidden", recipe.hidden) if recipe.hidden else ("features", recipe.features)
    last = linear(rng, source, "logits", shape=(classes, inputs), recipe=recipe, relu=False, bias=True)
    return Program((*_projection(recipe), *layers, last, Softmax("logits", "probabilities")))


def _projection(recipe: Recipe) -> tuple[Node, ...]:
    """Return what makes the bits of a text, an image or a vector."""
    if recipe.image_shape is not None:
        rows = tuple(range(recipe.features))
        boxes = BoxProjection(recipe.image_shape, rows, recipe.projection_seed)
        return Image("pixels", "image", recipe.image_shape), ProjectBoxes("image", "features", boxes)
    if recipe.input_shape is not None:
        numbers = unfitted(recipe)
        seed = recipe.projection_seed
        hyperplanes = DenseProjection(numbers.shape[0], functions=recipe.features // BITS, bits=BITS, seed=seed)
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
