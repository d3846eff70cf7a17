"""What a program costs to run and to train, counted from its shapes alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from understudy.program.ops import Layer, Program, ProjectBoxes, ProjectText, Scan, Shape, Sound, Standardize
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm

WORK_OF_A_VALUE, WORK_OF_AN_EXAMPLE = 43, 550_000
"""Multiply-accumulates that take as long, in training, as one value behind a layer (batch norm, quantization, gradients:
memory, not arithmetic) and as one example (everything that does not depend on size); least squares over five students."""


def input_bytes(program: Program) -> int:
    """Return the bytes of one example as a device holds it: a number has four, a sample two, a pixel and a byte of text one."""
    value_bytes = {Standardize: 4, Sound: 2}.get(type(program.source), 1)
    return math.prod(program.source.input_shape) * value_bytes


def macs(program: Program) -> int:
    """Return the multiply-accumulates of one prediction: those of all layers with weights, at every place.

    Pools, lookups, products of two tensors, layer norms and projections of texts have none; each state of a recurrence has two.
    Attention has those of queries with keys, and of their weights with values.
    The transforms of a log-mel picture count, as the C runtime computes them.
    """
    shapes = program.shapes()
    layers = sum(math.prod(shapes[layer.output][:-1]) * layer.weight.size for layer in program.layers)
    states = 2 * sum(math.prod(shapes[node.output]) for node in program.nodes if isinstance(node, Scan))
    mixed = sum(_products(node, shapes) for node in program.nodes if isinstance(node, Attention))
    return layers + states + mixed + (program.source.log_mel.macs if isinstance(program.source, Sound) else 0)


def _products(node: Attention, shapes: Mapping[str, Shape]) -> int:
    *places, channels = shapes[node.inputs[0]]
    return math.prod(places) ** 2 * (channels + shapes[node.output][-1])


def latency_work(program: Program) -> tuple[float, ...]:
    """Return what one prediction has to do, in kinds that each take their own time.

    These are: being called at all, multiply-accumulates with 8-bit weights and with 4-bit ones, values that are computed, and
    features that are hashed or signs that are summed. Columns of zeros are kinds that a program does not have.
    """
    shapes = program.shapes()
    count = dict.fromkeys((8, 4), 0)
    for layer in program.layers:
        count[layer.bits] += math.prod(shapes[layer.output][:-1]) * layer.weight.size
    values = sum(math.prod(shapes[node.output]) for node in program.nodes[1:])
    hashed = program.source.projection.features if isinstance(program.source, ProjectText) else 0
    return (1.0, float(count[8]), float(count[4]), float(values), float(hashed + _signs(program)))


def training_work(program: Program) -> int:
    """Return what one example costs in training, in multiply-accumulates of the forward pass that take as long."""
    shapes = program.shapes()
    computed = [node for node in program.nodes if isinstance(node, Layer | Lookup | Multiply | Scan | LayerNorm | Attention)]
    values = sum(math.prod(shapes[node.output]) for node in computed)
    layers = macs(program) - (program.source.log_mel.macs if isinstance(program.source, Sound) else 0)
    return layers + _signs(program) + WORK_OF_A_VALUE * values + WORK_OF_AN_EXAMPLE


def _signs(program: Program) -> int:
    """Return the values that projections by boxes read for all of their signs."""
    return sum(math.prod(n.projection.shape) * n.projection.features for n in program.nodes if isinstance(n, ProjectBoxes))


def most_weight_bits(program: Program) -> int:
    """Return the bits that most weights of ``program`` have: convolutions have 8, whatever the other layers have."""
    counts: Counter[int] = Counter()
    for layer in program.layers:
        counts[layer.bits] += layer.weight.size
    return counts.most_common(1)[0][0]
