"""Convolutions that shrink the image, T·d bits of what they found, a hidden layer, classes.

The projection CNN of Ravi (2019, "Efficient On-Device Models using Neural Projections", section 4): the projection reads an
inner activation, and the convolutions below it learn through its signs. A bit compares two random boxes, each of one channel.
"""

from __future__ import annotations

import math

import numpy as np

from understudy.program.ops import Image, Node, Program, ProjectBoxes, Softmax
from understudy.projections.boxes import BoxProjection
from understudy.students.recipe import Recipe
from understudy.students.separable_cnn import KERNEL, halvings
from understudy.students.weights import convolution, linear

LEAST_BLOCKS = 2
"""Convolutions behind the first one; those that halve the image come first."""
CHANNEL_FACTOR = 2
"""Channels of these for one of the first convolution."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[H, W, C] pixels -> [classes]``; ``width`` is the first convolution's, ``features`` is T·d."""
    rng = np.random.default_rng(seed)
    assert recipe.image_shape is not None
    height, width, channels = recipe.image_shape
    size, smaller = (height, width), halvings((height, width))
    nodes: list[Node] = [Image("pixels", "image", recipe.image_shape)]
    for number in range(1 + max(LEAST_BLOCKS, smaller)):
        outputs = recipe.width * (CHANNEL_FACTOR if number else 1)
        stride = 2 if 1 <= number <= smaller else 1
        shape = (outputs, *KERNEL, channels)
        nodes.append(convolution(rng, nodes[-1].output, f"block{number}", size=size, shape=shape, stride=stride, recipe=recipe))
        size, channels = (math.ceil(size[0] / stride), math.ceil(size[1] / stride)), outputs
    boxes = BoxProjection((*size, channels), tuple(range(recipe.features)), recipe.projection_seed)
    nodes += [
        ProjectBoxes(nodes[-1].output, "features", boxes),
        linear(rng, "features", "hidden", shape=(recipe.hidden, recipe.features), recipe=recipe, relu=True, bias=True),
        linear(rng, "hidden", "logits", shape=(classes, recipe.hidden), recipe=recipe, relu=False, bias=True),
        Softmax("logits", "probabilities"),
    ]
    return Program(tuple(nodes))
