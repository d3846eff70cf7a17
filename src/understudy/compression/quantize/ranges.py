"""Range estimators: how far the steps of a quantized tensor reach, from the values that were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
RangeEstimator = Literal["min-max", "percentile", "mse"]
"""``min-max``: nothing is cut. ``percentile``: as far as 99.9 % of the magnitudes that are not zero. ``mse``: the range that
loses least squared value, out of 40 shares of the largest magnitude. Nagel et al. 2021, "A White Paper on Neural Network
Quantization", section 3.1 has all three."""
PERCENTILE = 0.999
SHARES = np.linspace(0.3, 1.0, 40)
LEAST_MAGNITUDE = 1e-8


@dataclass(frozen=True)
class Ranges:
    """The estimators of weights and of activations."""

    weights: RangeEstimator = "mse"
    activations: RangeEstimator = "min-max"


def estimate_scales(rows: Float32Array, *, low: int, high: int, estimator: RangeEstimator) -> Float32Array:
    """Return a scale for each row of values ``[rows, values]`` that are rounded to ``scale * (low .. high)``."""
    magnitudes = np.abs(rows)
    largest = np.maximum(magnitudes.max(axis=1, keepdims=True), LEAST_MAGNITUDE)
    if estimator == "min-max":
        return np.asarray(largest[:, 0] / high, np.float32)
    if estimator == "percentile":
        reach = [np.quantile(row[row > 0], PERCENTILE) if (row > 0).any() else LEAST_MAGNITUDE for row in magnitudes]
        return np.asarray(np.maximum(reach, LEAST_MAGNITUDE) / high, np.float32)
    best_error = np.full(len(rows), np.inf)
    best = np.zeros(len(rows), np.float32)
    for share in SHARES:
        scale = (largest * share / high).astype(np.float32)
        error = ((np.clip(np.rint(rows / scale), low, high) * scale - rows) ** 2).sum(axis=1)
        better = error < best_error
        best[better] = scale[better, 0]
        best_error = np.minimum(error, best_error)
    return best
