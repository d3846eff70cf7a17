"""Writes WAV files as recorders do, with the standard library."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt


def tone(hertz: float, *, seconds: float, rate: int, loudness: float = 0.5) -> npt.NDArray[np.float64]:
    """Return a sine from -1 to 1 times ``loudness``."""
    return loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wav(path: Path, sound: npt.ArrayLike, *, rate: int, bits: int = 16) -> None:
    """Write ``sound`` ``[samples]`` or ``[samples, channels]``, from -1 to 1, with ``bits`` a sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    real = np.asarray(sound, np.float64)
    steps = np.rint(real * (2 ** (bits - 1) - 1)).astype("<i4")
    if bits == 8:
        content = (steps + 128).astype(np.uint8).tobytes()
    else:
        content = steps.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setparams((1 if real.ndim == 1 else real.shape[1], bits // 8, rate, 0, "NONE", ""))
        file.writeframes(content)
