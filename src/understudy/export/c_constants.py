"""Numbers of a program as the constants of the C runtime, which knows no floating point."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def scale_word(scale: float) -> int:
    """Return the float32 ``scale`` as ``shift << 24 | mantissa`` with ``scale = mantissa * 2**-shift``; exact.

    Scales from 1024 on saturate every accumulator that is not 0, and scales below 2**-38 round every one to 0: both ends
    are replaced by a scale with the same effect.
    """
    fraction, exponent = math.frexp(min(float(np.float32(scale)), 1024.0))
    shift = 24 - exponent
    return shift << 24 | int(fraction * 2**24) if shift <= 62 else 1 << 24


def float_words(values: npt.NDArray[np.float32]) -> list[str]:
    """Return the bits of float32 ``values`` as C constants; those too small for 24 bits are 0, as the runtime reads them."""
    kept = np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values.astype(np.float32))
    return [f"0x{word:08X}u" for word in kept.view(np.uint32).tolist()]


def power_word(exponent: float) -> int:
    """Return ``exp(-exponent)`` as ``shift << 24 | mantissa``, a 24-bit mantissa: ``mantissa * 2**-(24 + shift)``.

    Shifts end at 255, far below the smallest float32.
    """
    binary = -exponent * math.log2(math.e)
    shift = math.floor(-binary)
    mantissa = min(round(2.0 ** (24 + binary + shift)), 2**24 - 1)
    return shift << 24 | mantissa if shift < 255 else 255 << 24 | 2**23


def pack_nibbles(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Return 4-bit ``weight`` ``[out, in]`` plus 8 as bytes ``[out, (in + 1) // 2]``: first half of a row low, second high."""
    half = (weight.shape[1] + 1) // 2
    shifted = np.full((weight.shape[0], 2 * half), 8, np.uint8)
    shifted[:, : weight.shape[1]] = (weight.astype(np.int16) + 8).astype(np.uint8)
    packed: npt.NDArray[np.uint8] = shifted[:, :half] | (shifted[:, half:] << np.uint8(4))
    return packed
