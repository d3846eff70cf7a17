"""A float program and its scales to the integer program that every format ships; the one place where weights are rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from understudy.program.curves import table_of
from understudy.program.executor import Scheme
from understudy.program.groups import quantization_groups, signed_tensors
from understudy.program.ops import (
    ACCUMULATOR_LIMIT,
    WEIGHT_LIMIT,
    Add,
    Conv,
    DepthwiseConv,
    Layer,
    Linear,
    Node,
    Program,
    ProjectBoxes,
    ProjectVector,
    Quantization,
    Softmax,
)
from understudy.program.pointwise import Lookup
from understudy.program.tokens import Positions

Float32Array = npt.NDArray[np.float32]
LOGIT_CUT = 0.001
"""Share of the lowest logits that may be clipped, so that the steps between high ones are finer."""


def logit_range(logits: Float32Array) -> Quantization:
    """Return the quantization of logits ``[texts, classes]``: exact at the top, cut at the lowest 0.1 %."""
    high = float(logits.max())
    low = min(float(np.quantile(logits, LOGIT_CUT)), high - 1e-3)
    # headroom for texts that were not in the calibration set
    high += 0.1 * (high - low)
    scale = float(np.float32((high - low) / 255))
    return Quantization(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def to_integer(program: Program, scheme: Scheme, *, logits: Float32Array) -> Program:
    """Return the integer program of ``program`` under ``scheme``.

    Args:
        program: a float program with learned weights.
        scheme: scales of all weights and hidden tensors.
        logits: float32 ``[texts, classes]`` on calibration texts.
    """
    groups, signed = quantization_groups(program), signed_tensors(program)
    quantization: dict[str, Quantization] = {program.source.output: program.source.quantization}
    for node in program.nodes[1:]:
        if isinstance(node, Softmax):
            continue
        if isinstance(node, ProjectBoxes):
            _check_sums(node)
        if isinstance(node, ProjectBoxes | ProjectVector):
            quantization[node.output] = node.quantization
        elif node.output == program.logits:
            quantization[node.output] = logit_range(logits)
        elif groups[node.output] == groups[program.source.output]:
            quantization[node.output] = program.source.quantization
        else:
            zero_point = 0 if node.output in signed else -128
            quantization[node.output] = Quantization(float(np.float32(scheme.activations[groups[node.output]])), zero_point)
    return Program(tuple(_integer_node(node, scheme, quantization) for node in program.nodes), quantization)


def _integer_node(node: Node, scheme: Scheme, quantization: Mapping[str, Quantization]) -> Node:
    if isinstance(node, ProjectVector):
        return node.as_linear(quantization[node.input])
    if isinstance(node, Linear | Conv | DepthwiseConv):
        return _integer_layer(node, scheme.weights[node.output], quantization[node.input])
    if isinstance(node, Lookup):
        table = table_of(node.curve, quantization[node.input], quantization[node.output])
        return replace(node, table=table)
    if isinstance(node, Positions):
        steps = np.rint(node.table / np.float32(quantization[node.output].scale))
        return replace(node, table=np.clip(steps, -128, 127).astype(np.int8))
    return replace(node, ceiling=None) if isinstance(node, Add) else node


def _check_sums(node: ProjectBoxes) -> None:
    """Raise OverflowError where sums over a whole channel, which graph formats make, could reach 2**24."""
    height, width, _ = node.projection.shape
    if height * width * 255 >= ACCUMULATOR_LIMIT:
        raise OverflowError(
            f"a projection's sums must stay below 2**24: received height={height} and width={width}; use smaller images"
        )


def _integer_layer(node: Layer, scale: npt.NDArray[np.float32], source: Quantization) -> Layer:
    """Return ``node`` in integers; a scale becomes coarser where its sums could reach 2**24, as those of a dead channel do.

    Such a channel has next to no weights, and a bias that is many of their steps.
    """
    limit = WEIGHT_LIMIT[node.bits]
    largest_input = max(127 - source.zero_point, source.zero_point + 128)
    scale = np.atleast_1d(scale).astype(np.float32)
    while True:
        weight = np.clip(np.rint(node.weight / scale.reshape(-1, *[1] * (node.weight.ndim - 1))), -limit, limit)
        bias = np.zeros(len(weight)) if node.bias is None else node.bias / (scale.astype(np.float64) * source.scale)
        worst = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * largest_input + np.abs(np.rint(bias))
        beyond = worst / (ACCUMULATOR_LIMIT - 1)
        if beyond.max() <= 1:
            break
        beyond = beyond if len(scale) > 1 else beyond.max()
        scale = (scale * np.maximum(1, 1.001 * beyond)).astype(np.float32)
    integers = None if node.bias is None else np.rint(bias).astype(np.int32)
    return replace(node, weight=weight.astype(np.int8), bias=integers, weight_scale=scale, ceiling=None)
