"""What a program costs to run and to train, counted from its shapes alone."""

from __future__ import annotations

import math

from understudy.program.ops import Program, Sound

WORK_OF_A_VALUE, WORK_OF_AN_EXAMPLE = 43, 550_000
"""Multiply-accumulates that take as long, in training, as one value behind a layer (batch norm, quantization, gradients:
memory, not arithmetic) and as one example (everything that does not depend on size); least squares over five students."""


def input_bytes(program: Program) -> int:
    """Return the bytes of one example: a sample has two, a pixel and a byte of text one."""
    return math.prod(program.source.input_shape) * (2 if isinstance(program.source, Sound) else 1)


def macs(program: Program) -> int:
    """Return the multiply-accumulates of one prediction: those of all layers with weights, at every place.

    Pools and projections of texts have none. The transforms of a log-mel picture count, as the C runtime computes them.
    """
    shapes = program.shapes()
    layers = sum(math.prod(shapes[layer.output][:-1]) * layer.weight.size for layer in program.layers)
    return layers + (program.source.log_mel.macs if isinstance(program.source, Sound) else 0)


def training_work(program: Program) -> int:
    """Return what one example costs in training, in multiply-accumulates of the forward pass that take as long."""
    shapes = program.shapes()
    values = sum(math.prod(shapes[layer.output]) for layer in program.layers)
    layers = macs(program) - (program.source.log_mel.macs if isinstance(program.source, Sound) else 0)
    return layers + WORK_OF_A_VALUE * values + WORK_OF_AN_EXAMPLE
