"""A float program and its scales to the integer program that every format ships; the one place where weights are rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from understudy.program.executor import Scheme, quantization_groups
from understudy.program.ops import (
    ACCUMULATOR_LIMIT,
    WEIGHT_LIMIT,
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

    Raises:
        OverflowError: a sum could reach 2**24, where float32 stops being exact.
    """
    groups = quantization_groups(program)
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
        else:
            quantization[node.output] = Quantization(float(np.float32(scheme.activations[groups[node.output]])), -128)
    return Program(tuple(_integer_node(node, scheme, quantization) for node in program.nodes), quantization)


def _integer_node(node: Node, scheme: Scheme, quantization: Mapping[str, Quantization]) -> Node:
    if isinstance(node, ProjectVector):
        return node.as_linear(quantization[node.input])
    if isinstance(node, Linear | Conv | DepthwiseConv):
        return _integer_layer(node, scheme.weights[node.output], quantization[node.input])
    return node


def _check_sums(node: ProjectBoxes) -> None:
    """Raise OverflowError where sums over a whole channel, which graph formats make, could reach 2**24."""
    height, width, _ = node.projection.shape
    if height * width * 255 >= ACCUMULATOR_LIMIT:
        raise OverflowError(
            f"a projection's sums must stay below 2**24: received height={height} and width={width}; use smaller images"
        )


def _integer_layer(node: Layer, scale: npt.NDArray[np.float32], source: Quantization) -> Layer:
    limit = WEIGHT_LIMIT[node.bits]
    scale = np.atleast_1d(scale).astype(np.float32)
    steps = scale.reshape(-1, *[1] * (node.weight.ndim - 1))
    weight = np.clip(np.rint(node.weight / steps), -limit, limit).astype(np.int8)
    bias = None
    if node.bias is not None:
        bias = np.rint(node.bias.astype(np.float64) / (scale.astype(np.float64) * source.scale)).astype(np.int32)
    largest_input = max(127 - source.zero_point, source.zero_point + 128)
    worst = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1) * largest_input
    worst = worst + (0 if bias is None else np.abs(bias.astype(np.int64)))
    if int(worst.max()) >= ACCUMULATOR_LIMIT:
        raise OverflowError(
            f"a layer's sums must stay below 2**24: received layer={node.output!r} worst_sum={int(worst.max())}; "
            "use fewer inputs or ternary features"
        )
    return replace(node, weight=weight, bias=bias, weight_scale=scale)
