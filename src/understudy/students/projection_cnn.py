"""Convolutions that shrink the image, T·d bits of what they found, a hidden layer, classes.

The projection CNN of Ravi (2019, "Efficient On-Device Models using Neural Projections", section 4): the projection reads an
inner activation, and the convolutions below it learn through its signs. A bit compares two random boxes, each of one channel.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Program, ProjectBoxes, Softmax
from understudy.projections.boxes import BoxProjection
from understudy.students.plain_cnn import convolutions
from understudy.students.recipe import Recipe
from understudy.students.weights import linear

LATER = 2
"""Channels of a later convolution for one of the first two."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[H, W, C] pixels -> [classes]``; ``width`` is the first convolution's, ``features`` is T·d."""
    rng = np.random.default_rng(seed)
    first, later = recipe.width, LATER * recipe.width
    nodes, shape = convolutions(rng, recipe, (first, first, later, later, later))
    boxes = BoxProjection(shape, tuple(range(recipe.features)), recipe.projection_seed)
    nodes += [
        ProjectBoxes(nodes[-1].output, "features", boxes),
        linear(rng, "features", "hidden", shape=(recipe.hidden, recipe.features), recipe=recipe, relu=True, bias=True),
        linear(rng, "hidden", "logits", shape=(classes, recipe.hidden), recipe=recipe, relu=False, bias=True),
        Softmax("logits", "probabilities"),
    ]
    return Program(tuple(nodes))
