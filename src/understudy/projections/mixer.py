"""The one source of pseudo-random numbers in projections: a counter mixer on unsigned 32-bit integers.

``mix(seed, stream, index)`` is fixed by ``spec/projection.md`` section 1; NumPy, C and every exported file agree on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt32Array = npt.NDArray[np.uint32]
Int8Array = npt.NDArray[np.int8]


def _lowbias32(x: UInt32Array) -> UInt32Array:
    """Return the bijective mixing of each ``x`` (the published "lowbias32" constants)."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def mix(seed: int, stream: int, index: npt.NDArray[np.integer]) -> UInt32Array:
    """Return one uint32 for each counter value in ``index``; spec/projection.md 1."""
    return _lowbias32(np.uint32(counter_start(seed, stream)) + index.astype(np.uint32))


def counter_start(seed: int, stream: int) -> int:
    """Return what ``mix`` adds to its index before it mixes for the last time."""
    start = _lowbias32(np.asarray([seed & 0xFFFFFFFF], np.uint32))
    return int(_lowbias32(start + np.uint32(stream))[0])


def digits(seed: int, stream: int, count: int) -> Int8Array:
    """Return ``count`` coefficients in [-8, 7], the top four bits of the mixer; spec/projection.md 1."""
    return ((mix(seed, stream, np.arange(count)) >> np.uint32(28)).astype(np.int16) - 8).astype(np.int8)
