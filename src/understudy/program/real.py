"""An integer program in real numbers: what a file in float computes; ``spec/program.md`` 27.

Every tensor keeps the range of its int8 tensor, and is not rounded to its steps. Sources give the same integers as ever.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.program.interpreter import Float32Array, Float64Array, Inputs, Tensor, logits_of, softmax
from understudy.program.ops import Program, Quantization
from understudy.program.pointwise import Lookup
from understudy.program.real_curves import curve_of

REAL_TOLERANCE = 1e-4
"""Largest difference of a probability of a file in float from the program in real numbers; spec/program.md 27."""


class RealNumbers:
    """Tensors of float64 values, in steps, that end where their int8 tensors end."""

    def sums(self, exact: Float64Array) -> Float64Array:
        """Return ``exact``."""
        return exact

    def stored(self, steps: Float32Array | Float64Array, target: Quantization, *, relu: bool = False) -> Float64Array:
        """Return ``steps`` within the range, from the zero point on behind a relu."""
        low = target.zero_point if relu else -128
        clipped: Float64Array = np.clip(steps.astype(np.float64, copy=False) + target.zero_point, low, 127)
        return clipped

    def looked_up(self, node: Lookup, x: Tensor, source: Quantization, target: Quantization) -> Float64Array:
        """Return the node's curve itself instead of its table."""
        real = curve_of(node.curve, (x.astype(np.float64) - source.zero_point) * source.scale)
        return self.stored(real / target.scale, target)

    def scanned(self, x: Tensor) -> Float64Array:
        """Return states that are not rounded between steps."""
        gates, candidates = np.split(x[:, :, 0].astype(np.float64), 2, axis=-1)
        inflow = (gates + 128) / 256
        state = np.zeros_like(inflow[:, 0])
        out = np.empty_like(inflow)
        for step in range(inflow.shape[1]):
            state = state + inflow[:, step] * (candidates[:, step] - state)
            out[:, step] = state
        return out[:, :, None]


def real_probabilities(program: Program, inputs: Inputs) -> Float32Array:
    """Return the float32 probabilities ``[batch, classes]`` of an integer ``program`` computed in real numbers.

    Raises:
        ValueError: the program is not quantized.
    """
    steps = logits_of(program, inputs, RealNumbers())
    quantization = program.quantization[program.logits]
    return softmax((steps.astype(np.float64) - quantization.zero_point) * quantization.scale)


def real_bounds(quantization: Quantization, *, relu: bool) -> tuple[float, float]:
    """Return the least and the largest real value of a tensor."""
    least = 0.0 if relu else (-128 - quantization.zero_point) * quantization.scale
    return least, (127 - quantization.zero_point) * quantization.scale


def real_products(integers: npt.NDArray[np.generic], scale: npt.ArrayLike, *, axis: int = 0) -> Float32Array:
    """Return ``integers`` times ``scale``, which is one number or one for each place along ``axis``, in float32."""
    factors = np.atleast_1d(np.asarray(scale, np.float64))
    along = [1] * integers.ndim
    along[axis] = len(factors)
    return (integers.astype(np.float64) * factors.reshape(along)).astype(np.float32)
