"""Post-training calibration: initial scales for weights and activations from a float program and some features."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from understudy.program.executor import Executor, Scheme
from understudy.program.groups import quantization_groups
from understudy.program.ops import WEIGHT_LIMIT, Layer, Program

Float32Array = npt.NDArray[np.float32]
_STEPS = 255


def weight_scale(weight: Float32Array, *, bits: int, per_channel: bool) -> Float32Array:
    """Return the scales ``[out]`` or ``[1]`` that lose least squared weight, out of 40 shares of the largest magnitude."""
    limit = WEIGHT_LIMIT[bits]
    rows = weight.reshape(len(weight) if per_channel else 1, -1)
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-8)
    best_error = np.full(len(rows), np.inf)
    best = np.zeros(len(rows), np.float32)
    for share in np.linspace(0.3, 1.0, 40):
        scale = (largest * share / limit).astype(np.float32)
        error = ((np.clip(np.rint(rows / scale), -limit, limit) * scale - rows) ** 2).sum(axis=1)
        better = error < best_error
        best[better] = scale[better, 0]
        best_error = np.minimum(error, best_error)
    return best


def calibrate(program: Program, batches: Iterable[Tensor]) -> Scheme:
    """Return scales for a float ``program``: weights by least squares, activations by the largest value seen.

    The logits have no entry: their range is set when the integer program is made.
    """
    executor = Executor(program).eval()
    groups = quantization_groups(program)
    largest: dict[str, float] = {}
    hidden = {node.output for node in program.nodes[1:]} - {program.logits, "probabilities"}
    with torch.no_grad():
        for batch in batches:
            for name, value in executor.trace(batch).items():
                if name in hidden:
                    largest[groups[name]] = max(largest.get(groups[name], 1e-6), float(value.max()))
    return Scheme(
        weights={n.output: _scale_of(n) for n in program.layers},
        activations={name: value / _STEPS for name, value in largest.items()},
    )


def _scale_of(node: Layer) -> Float32Array:
    return weight_scale(node.weight.astype(np.float32), bits=node.bits, per_channel=node.per_channel)
