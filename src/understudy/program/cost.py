"""What a program costs to run and to train, counted from its shapes alone."""

from __future__ import annotations

import math

from understudy.program.ops import Program, ProjectBoxes

WORK_OF_A_VALUE, WORK_OF_AN_EXAMPLE = 43, 550_000
"""Multiply-accumulates that take as long, in training, as one value behind a layer (batch norm, quantization, gradients:
memory, not arithmetic) and as one example (everything that does not depend on size); least squares over five students."""


def macs(program: Program) -> int:
    """Return the multiply-accumulates of one prediction: those of all layers with weights, at every place.

    Pools and projections have none; a projection of texts counts additions of hashes.
    """
    shapes = program.shapes()
    return sum(math.prod(shapes[layer.output][:-1]) * layer.weight.size for layer in program.layers)


def training_work(program: Program) -> int:
    """Return what one example costs in training, in multiply-accumulates of the forward pass that take as long."""
    shapes = program.shapes()
    values = sum(math.prod(shapes[layer.output]) for layer in program.layers)
    signs = sum(math.prod(n.projection.shape) * n.projection.features for n in program.nodes if isinstance(n, ProjectBoxes))
    return macs(program) + signs + WORK_OF_A_VALUE * values + WORK_OF_AN_EXAMPLE
