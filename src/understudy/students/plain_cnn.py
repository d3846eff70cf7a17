"""Five convolutions of three by three that shrink the image, sum and maximum over places, or the maximum alone, classes.

The lineage is VGG (Simonyan & Zisserman 2015, section 2.1). A convolution that halves the image keeps its channels and the
next one doubles them, so that few values are computed at the larger sizes: these are what training and devices wait for.
"""

from __future__ import annotations

import math

import numpy as np

from understudy.program.ops import Image, MaxPool, Node, Program, Softmax
from understudy.students.recipe import Recipe
from understudy.students.separable_cnn import KERNEL, classes_of_places, halvings
from understudy.students.weights import convolution, linear

WIDTH_PER_CHANNEL = 4
"""A recipe's ``width`` for one channel of the first convolution; so widths are as fine here as where they must be multiples."""
STRIDES = ((1, 1, 1, 1, 1), (1, 2, 1, 1, 1), (1, 2, 1, 2, 1), (2, 2, 1, 2, 1), (2, 2, 1, 2, 2), (2, 2, 2, 2, 2))
"""Number of halvings to the stride of each convolution."""


NARROW_WIDTH = 32
"""Below this width the maximum over places is enough: files of a few KB have better use for the bytes of a sum."""


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[H, W, C] pixels -> [classes]`` with initial weights."""
    rng = np.random.default_rng(seed)
    first = max(1, recipe.width // WIDTH_PER_CHANNEL)
    nodes, shape = convolutions(rng, recipe, (first, first, 2 * first, 2 * first, recipe.hidden))
    last = nodes[-1].output
    if recipe.width >= NARROW_WIDTH:
        return Program((*nodes, *classes_of_places(rng, last, shape=shape, classes=classes, recipe=recipe)))
    found = linear(rng, "largest", "logits", shape=(classes, shape[-1]), recipe=recipe, relu=False, bias=True)
    return Program((*nodes, MaxPool(last, "largest"), found, Softmax("logits", "probabilities")))


def convolutions(
    rng: np.random.Generator, recipe: Recipe, channels: tuple[int, ...]
) -> tuple[list[Node], tuple[int, int, int]]:
    """Return an image and convolutions that give as many ``channels`` each, and the shape ``(H, W, C)`` of the last one's."""
    assert recipe.image_shape is not None
    height, width, inputs = recipe.image_shape
    size = (height, width)
    strides = STRIDES[min(halvings(size), len(STRIDES) - 1)]
    nodes: list[Node] = [Image("pixels", "image", recipe.image_shape)]
    for number, (outputs, stride) in enumerate(zip(channels, strides, strict=True)):
        shape = (outputs, *KERNEL, inputs)
        nodes.append(convolution(rng, nodes[-1].output, f"block{number}", size=size, shape=shape, stride=stride, recipe=recipe))
        size, inputs = (math.ceil(size[0] / stride), math.ceil(size[1] / stride)), outputs
    return nodes, (*size, inputs)
