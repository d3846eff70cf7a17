"""A convolution, separable blocks that grow deeper as the image shrinks, sum and maximum over places, classes.

The lineage is MobileNet (Howard et al. 2017, section 3.1): each block looks at the neighbours of every channel alone, then
mixes the channels. That second half is a linear layer over the channels, which keeps 4-bit weights.
A window of numbers is an image that is one pixel wide.
"""

from __future__ import annotations

import math

import numpy as np

from understudy.program.ops import (
    Concat,
    DepthwiseConv,
    Image,
    MaxPool,
    Node,
    Program,
    Softmax,
    Sound,
    Standardize,
    SumPool,
)
from understudy.program.shapes import same_padding
from understudy.projections.log_mel import LogMel
from understudy.students.recipe import Recipe
from understudy.students.weights import convolution, linear, unfitted, uniform

KERNEL = (3, 3)
WINDOW_KERNEL = (5, 1)
LEAST_BLOCKS = 3
LAST_SIDE = 7
"""The image is halved until its shorter side is about this long."""
CHANNEL_STEP = 4


def halvings(size: tuple[int, int]) -> int:
    """Return how often an image of ``size``, or a window, whose second side is 1, is halved before its pooling."""
    side = size[0] if size[1] == 1 else min(size)
    return max(0, round(math.log2(side / LAST_SIDE)))


def block_channels(recipe: Recipe, count: int) -> list[int]:
    """Return the channels behind each of ``count`` blocks: from ``width`` to ``hidden`` in equal ratios."""
    ratio = (recipe.hidden / recipe.width) ** (1 / count)
    inner = [recipe.width * ratio**i for i in range(1, count)]
    return [max(1, round(channels / CHANNEL_STEP)) * CHANNEL_STEP for channels in inner] + [recipe.hidden]


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[H, W, C] pixels -> [classes]``, or ``[T, C] numbers -> [classes]``, with initial weights."""
    rng = np.random.default_rng(seed)
    source: Image | Sound | Standardize
    if recipe.image_shape is None:
        source, kernel = unfitted(recipe), WINDOW_KERNEL
        height, width, channels = source.output_shape
    else:
        source, kernel = Image("pixels", "image", recipe.image_shape), KERNEL
        if recipe.sound is not None:
            source = Sound("samples", "image", LogMel(*recipe.sound))
        height, width, channels = recipe.image_shape
    size, smaller = (height, width), halvings((height, width))
    blocks = max(LEAST_BLOCKS, smaller)

    def stride() -> int:
        nonlocal smaller
        smaller -= 1
        return 2 if smaller >= 0 else 1

    def halved(step: int) -> tuple[int, int]:
        return (-(-size[0] // step), -(-size[1] // step))

    step = stride()
    nodes: list[Node] = [
        source,
        convolution(
            rng,
            source.output,
            "stem",
            size=size,
            shape=(recipe.width, *kernel, channels),
            stride=step,
            recipe=recipe,
        ),
    ]
    size, before = halved(step), recipe.width
    for number, after in enumerate(block_channels(recipe, blocks), start=1):
        step = stride() if number > 1 else 1
        spread = DepthwiseConv(
            nodes[-1].output,
            f"spread{number}",
            weight=uniform(rng, (before, *kernel)),
            bias=np.zeros(before, np.float32),
            stride=step,
            padding=same_padding(size, kernel=kernel, stride=step),
            relu=True,
            per_channel=recipe.per_channel,
        )
        mixed = linear(rng, spread.output, f"mixed{number}", shape=(after, before), recipe=recipe, relu=True, bias=True)
        nodes += [spread, mixed]
        size, before = halved(step), after
    nodes += classes_of_places(rng, nodes[-1].output, shape=(*size, before), classes=classes, recipe=recipe)
    return Program(tuple(nodes))


def classes_of_places(
    rng: np.random.Generator, last: str, *, shape: tuple[int, int, int], classes: int, recipe: Recipe
) -> list[Node]:
    """Return the nodes behind the tensor ``last`` of ``shape`` ``[H, W, C]``: sum and maximum over places, then classes."""
    height, width, channels = shape
    return [
        MaxPool(last, "largest"),
        SumPool(last, "total", 1 / (height * width) ** 0.5),
        Concat(("total", "largest"), "pooled"),
        linear(rng, "pooled", "logits", shape=(classes, 2 * channels), recipe=recipe, relu=False, bias=True),
        Softmax("logits", "probabilities"),
    ]
