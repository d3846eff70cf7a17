"""Post-training calibration: initial scales for weights and activations from a float program and some features."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from understudy.compression.quantize.ranges import RangeEstimator, Ranges, estimate_scales
from understudy.program.executor import Executor, Scheme
from understudy.program.groups import fixed_scales, quantization_groups, scale_limits, signed_tensors, steps_of
from understudy.program.ops import WEIGHT_LIMIT, Program, ProjectBoxes, ProjectVector

Float32Array = npt.NDArray[np.float32]
_STEPS = 255
DEAD = 1e-6
"""Largest value of a tensor that counts as always 0."""
_SAMPLE = 2**15
"""Values of one tensor in one batch that an estimator looks at; ``min-max`` looks at all of them."""


def weight_scale(weight: Float32Array, *, bits: int, per_channel: bool, estimator: RangeEstimator = "mse") -> Float32Array:
    """Return the scales ``[out]`` or ``[1]`` of a layer's weights."""
    limit = WEIGHT_LIMIT[bits]
    rows = weight.reshape(len(weight) if per_channel else 1, -1)
    return estimate_scales(rows, low=-limit, high=limit, estimator=estimator)


def calibrate(program: Program, batches: Iterable[Tensor], *, ranges: Ranges | None = None) -> Scheme:
    """Return scales for a float ``program``; without ``ranges`` weights by least squares, activations by their largest value.

    The logits have no entry: their range is set when the integer program is made.
    """
    ranges = ranges or Ranges()
    seen = _seen(program, batches, whole=ranges.activations == "min-max")
    limits = scale_limits(program)
    activations = {group: min(_scale(values, ranges.activations), limits.get(group, np.inf)) for group, values in seen.items()}
    weights = {
        n.output: weight_scale(n.weight.astype(np.float32), bits=n.bits, per_channel=n.per_channel, estimator=ranges.weights)
        for n in program.layers
    }
    return Scheme(weights, activations | fixed_scales(program))


def _scale(values: Float32Array, estimator: RangeEstimator) -> float:
    """Return the scale of a tensor's ``values`` ``[1, values]``; of one that is always 0, whose layer died, that of 0 to 1.

    With a scale near 0 one step of a sum would be many steps of the output, which LiteRT refuses from 256 on.
    """
    scale = float(estimate_scales(values, low=0, high=_STEPS, estimator=estimator)[0])
    return scale if scale > DEAD / _STEPS else 1 / _STEPS


def _seen(program: Program, batches: Iterable[Tensor], *, whole: bool) -> dict[str, Float32Array]:
    """Return values ``[1, values]`` of each quantization group: the largest of each tensor and batch, or a sample of all."""
    executor = Executor(program).eval()
    groups = quantization_groups(program)
    fixed = {
        program.logits,
        "probabilities",
        *(node.output for node in program.nodes if isinstance(node, ProjectBoxes | ProjectVector)),
    }
    signed, source = signed_tensors(program), groups[program.source.output]
    hidden = {node.output for node in program.nodes[1:] if groups[node.output] != source} - fixed
    generator = torch.Generator().manual_seed(0)
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for batch in batches:
            for name, value in executor.trace(batch).items():
                if name not in hidden:
                    continue
                # what has no sign begins at 0, and what is below is cut anyway; what has one is brought to as many steps
                flat = value.clamp(min=0) if name not in signed else value.abs() * (_STEPS / steps_of(name, signed)[1])
                flat = flat.flatten()
                if whole:
                    flat = flat.max()[None]
                elif len(flat) > _SAMPLE:
                    flat = flat[torch.randint(len(flat), (_SAMPLE,), generator=generator)]
                parts.setdefault(groups[name], []).append(flat)
    return {group: torch.cat(found).numpy()[None] for group, found in parts.items()}
