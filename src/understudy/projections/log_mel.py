"""The log-mel picture of a sound in integers; ``spec/program.md`` 13 is its text form.

Every step is a sum of integers below 2**24, a product with a power of two, a rounding or a comparison, so float32 kernels, the
C runtime and this file give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Int8Array = npt.NDArray[np.int8]
Int16Array = npt.NDArray[np.int16]
Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]

LOG_MEL = "log-mel"
"""Row of a byte table: what the tables below take in a file."""
BANDS = 32
FRAME_SECONDS = 0.032
"""A frame is the nearest power of two of samples, as is usual for speech; frames begin half a frame after each other."""
LOWEST_HZ = 50.0
SLOWEST_RATE, FASTEST_RATE = 4000, 48_000
"""Samples a second, for which the sums below are small enough."""
EXPONENTS = 16
"""Most bits of a peak."""
AMPLITUDE = 127
"""Of the cosine."""
SPECTRUM_BITS = 14
"""A sum over a frame is divided by two to this power before it is squared."""
POSITION_STEPS = 16
"""Parts of the distance between two bands: the largest weight of a band."""
OCTAVE_STEPS = 8
"""Values that a doubled power is apart."""
FIRST_OCTAVE, LAST_OCTAVE = 4, 24
"""Band sums below 2**4 are noise of rounding; all are below 2**24."""
OFFSET = 128
"""What is subtracted, so that a tone of full scale is just at the upper end and one 96 dB below it at the lower."""
_MANTISSA = 1024
_BATCH = 64


@dataclass(frozen=True)
class LogMel:
    """What a sound becomes a picture by.

    Attributes:
        samples: 16-bit samples of a sound: whole half frames, at least two.
        sample_rate: samples a second.
    """

    samples: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long a sound is."""
        return self.samples / self.sample_rate

    @property
    def frame(self) -> int:
        """N: samples of a frame."""
        return frame_samples(self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: half a frame."""
        return self.frame // 2

    @property
    def frames(self) -> int:
        """Frames of a sound."""
        return self.samples // self.hop - 1

    @property
    def bins(self) -> int:
        """Frequencies from 0 to half of the sample rate."""
        return self.frame // 2 + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the picture: frames, bands, one channel."""
        return (self.frames, BANDS, 1)

    @property
    def frame_bits(self) -> int:
        """Bits of a windowed sample, so that a frame's sums stay below 2**24."""
        return 18 - int(math.log2(self.frame))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the transforms: a quarter of N squared for each frame, because cosines are symmetric."""
        return self.frames * self.frame**2 // 4

    @cached_property
    def cosine(self) -> Int8Array:
        """``round(-127 cos(2 pi j / N))``, int8 ``[N]``; with 127 added it is the window, too."""
        angles = 2 * np.pi * np.arange(self.frame) / self.frame
        cosine: Int8Array = np.rint(-AMPLITUDE * np.cos(angles)).astype(np.int8)
        return cosine

    @cached_property
    def positions(self) -> Int64Array:
        """Where each frequency stands among the bands in sixteenths: int64 ``[bins]``, from -16 to 512.

        Bands are as far apart as on O'Shaughnessy's mel scale, ``2595 log10(1 + f / 700)``; those two have no weight.
        """
        frequencies = np.arange(self.bins) * self.sample_rate / self.frame
        low, high = _mel(np.array([LOWEST_HZ, self.sample_rate / 2]))
        steps = (_mel(frequencies) - low) * (BANDS + 1) / (high - low) - 1
        positions: Int64Array = np.rint(np.clip(steps, -1, BANDS) * POSITION_STEPS).astype(np.int64)
        return positions

    @cached_property
    def weights(self) -> Int64Array:
        """Triangles around the bands: int64 ``[BANDS, bins]``, 0 to 16."""
        distance = np.abs(self.positions - POSITION_STEPS * np.arange(BANDS)[:, None])
        weights: Int64Array = np.maximum(POSITION_STEPS - distance, 0)
        return weights


def frame_samples(sample_rate: int) -> int:
    """Return the samples of a frame: the power of two that is nearest to 32 ms on a logarithmic scale."""
    return 1 << round(math.log2(FRAME_SECONDS * sample_rate))


def octave_parts() -> Int64Array:
    """Return ``round(1024 * 2**(i / 8))``, int64 ``[8]``: where an octave is divided."""
    parts: Int64Array = np.rint(_MANTISSA * 2.0 ** (np.arange(OCTAVE_STEPS) / OCTAVE_STEPS)).astype(np.int64)
    return parts


def thresholds() -> Float64Array:
    """Return what each step of a picture needs: float64 ``[160]``, exact in float32."""
    octaves = 2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)
    steps: Float64Array = (octaves[:, None] * octave_parts() / _MANTISSA).ravel()
    return steps


def pictures(log_mel: LogMel, sounds: Int16Array) -> UInt8Array:
    """Return the pictures uint8 ``[batch, frames, bands, 1]`` of ``sounds``, int16 ``[batch, samples]``."""
    parts = [_pictures(log_mel, sounds[begin : begin + _BATCH]) for begin in range(0, len(sounds), _BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, *log_mel.shape), np.uint8)


def _pictures(log_mel: LogMel, sounds: Int16Array) -> UInt8Array:
    size, bins = log_mel.frame, log_mel.bins
    halves = sounds.reshape(len(sounds), -1, log_mel.hop).astype(np.float64)  # exact: all sums are below 2**53
    frames = np.concatenate([halves[:, :-1], halves[:, 1:]], axis=2)
    peak = np.abs(frames).max(axis=2, keepdims=True)
    exponent = (peak >= 2.0 ** np.arange(EXPONENTS)).sum(axis=2, keepdims=True)
    cosine = log_mel.cosine.astype(np.float64)
    windowed = np.rint(frames * (cosine + AMPLITUDE) * 2.0 ** (log_mel.frame_bits - 8 - exponent))
    angle = np.arange(size)[:, None] * np.arange(bins)
    power = np.zeros((*frames.shape[:2], bins))
    for quarter in (0, 3):
        part = windowed @ cosine[(angle + quarter * size // 4) % size]
        power += np.rint(part / 2.0**SPECTRUM_BITS) ** 2
    energy = power @ log_mel.weights.T.astype(np.float64)
    count = np.searchsorted(thresholds(), energy, side="right")
    value: UInt8Array = np.clip(count + 2 * OCTAVE_STEPS * exponent - OFFSET, 0, 255).astype(np.uint8)
    return value[..., None]


def _mel(frequency: Float64Array) -> Float64Array:
    mel: Float64Array = 2595 * np.log10(1 + frequency / 700)
    return mel
