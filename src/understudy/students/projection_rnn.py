"""Optional bits of each frame, two gated recurrences over time, mean and maximum of the states, classes.

The lineage is pQRNN (Kaliamoorthi et al. 2020): projections of each step in front of a QRNN (Bradbury et al. 2017, section 2.1,
"f-pooling"), whose gates and candidates come from the input alone. So a layer computes them for all steps at once, and the
recurrence behind it multiplies value by value (``docs/adr/0027``). A frame is a step of a window of numbers, or of a sound's
log-mel picture. T functions of d bits are hyperplanes through the mean of each channel, as of ``projection_net`` for vectors.
"""

from __future__ import annotations

import numpy as np

from understudy.program.ops import Concat, Conv, MaxPool, Node, Program, ProjectVector, Scan, Softmax, Sound, SumPool
from understudy.projections.dense import DenseProjection
from understudy.projections.log_mel import LogMel
from understudy.students.projection_net import BITS
from understudy.students.recipe import Recipe
from understudy.students.weights import linear, unfitted, uniform


def build(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return a float program ``[T, C] numbers -> [classes]``, or samples, with initial weights.

    ``width`` and ``hidden`` are the states of the first and of the second recurrence; ``features`` is T·d, 0 without bits.
    """
    rng = np.random.default_rng(seed)
    nodes = [*_first_gates(rng, recipe), Scan("gates1", "states1")]
    steps = Program(tuple(nodes)).shapes()["states1"][0]
    gates = (2 * recipe.hidden, recipe.width)
    nodes += [
        linear(rng, "states1", "gates2", shape=gates, recipe=recipe, relu=False, bias=True),
        Scan("gates2", "states2"),
        MaxPool("states2", "largest"),
        SumPool("states2", "mean", float(np.float32(1 / steps))),
        Concat(("mean", "largest"), "pooled"),
        linear(rng, "pooled", "logits", shape=(classes, 2 * recipe.hidden), recipe=recipe, relu=False, bias=True),
        Softmax("logits", "probabilities"),
    ]
    return Program(tuple(nodes))


def _first_gates(rng: np.random.Generator, recipe: Recipe) -> list[Node]:
    """Return the source, the bits of its frames where there are any, and the layer that reads a frame."""
    outputs = 2 * recipe.width
    if recipe.sound is not None:
        log_mel = LogMel(*recipe.sound)
        _, bands, _ = log_mel.shape
        frame = Conv(
            "image",
            "gates1",
            weight=uniform(rng, (outputs, 1, bands, 1)),
            bias=np.zeros(outputs, np.float32),
            stride=1,
            padding=(0, 0, 0, 0),
            relu=False,
            per_channel=recipe.per_channel,
        )
        return [Sound("samples", "image", log_mel), frame]
    source = unfitted(recipe)
    nodes: list[Node] = [source]
    columns = source.shape[-1]
    if recipe.features:
        seed = recipe.projection_seed
        hyperplanes = DenseProjection(columns, functions=recipe.features // BITS, bits=BITS, seed=seed)
        nodes.append(ProjectVector(source.output, "features", hyperplanes))
        columns = recipe.features
    read = nodes[-1].output
    return [*nodes, linear(rng, read, "gates1", shape=(outputs, columns), recipe=recipe, relu=False, bias=True)]
