"""Vectors to bits by random hyperplanes, as ``spec/projection.md`` section 3 fixes it.

The projection of ProjectionNet (Ravi 2017, "ProjectionNet: Learning Efficient On-Device Deep Networks Using Neural
Projections", arXiv:1708.00630): T functions of d bits, each bit the side of a hyperplane on which the input lies
(locality-sensitive hashing for the cosine distance; Charikar 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from understudy.projections.mixer import mix

Int8Array = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.integer] | npt.NDArray[np.floating]

_SIGN_STREAM = 128
_TERNARY_STREAM = 129


@dataclass(frozen=True)
class DenseProjection:
    """Everything that fixes a dense projection; the same value gives the same bits on every device.

    Attributes:
        inputs: n, numbers in an input vector.
        functions: T, projection functions.
        bits: d, bits of each function.
        vectors: ``sign`` has +1 and -1 as coefficients, ``ternary`` also 0, in two thirds of the places.
        seed: unsigned 32-bit seed of all coefficients.
    """

    inputs: int
    functions: int
    bits: int
    vectors: Literal["sign", "ternary"] = "sign"
    seed: int = 1

    @property
    def features(self) -> int:
        """T * d, the number of bits."""
        return self.functions * self.bits


def coefficients(projection: DenseProjection) -> Int8Array:
    """Return the vectors p ``[T * d, n]`` with values in -1, 0, 1; spec 3.1."""
    index = np.arange(projection.features * projection.inputs)
    if projection.vectors == "sign":
        flat = 1 - 2 * (mix(projection.seed, _SIGN_STREAM, index) >> np.uint32(31)).astype(np.int8)
    else:
        sixth = (6 * (mix(projection.seed, _TERNARY_STREAM, index) >> np.uint32(16))) >> np.uint32(16)
        flat = (sixth == 0).astype(np.int8) - (sixth == 1).astype(np.int8)
    return flat.reshape(projection.features, projection.inputs)


def project(projection: DenseProjection, x: Numbers) -> Int8Array:
    """Return bits 0 or 1, int8 ``[batch, T * d]``, of vectors ``x`` ``[batch, n]``: ``b = [<x, p> > 0]``; spec 3.2.

    Args:
        projection: what fixes the vectors p.
        x: integers of at most 32 bits, or float32.

    Raises:
        ValueError: another shape or type, or a value that is not finite.
    """
    if x.ndim != 2 or x.shape[1] != projection.inputs:
        raise ValueError(f"x is [batch, {projection.inputs}]: received shape={x.shape}; bring one row for each input")
    if x.dtype != np.float32 and not (np.issubdtype(x.dtype, np.integer) and x.dtype.itemsize <= 4):
        raise ValueError(f"x holds float32 or integers of at most 32 bits: received dtype={x.dtype}; convert it first")
    if not np.isfinite(x).all():
        raise ValueError("x is finite: received NaN or infinity; replace such values first")
    # float64 holds every sum of fewer than 2**21 32-bit integers exactly
    sums = x.astype(np.float64) @ coefficients(projection).T.astype(np.float64)
    return (sums > 0).astype(np.int8)
