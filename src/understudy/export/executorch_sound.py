"""The log-mel picture in ExecuTorch kernels: samples int16 ``[1, samples]`` to float32 ``[1, frames, bands, 1]``, 0 to 255.

Sines and weights follow from a few numbers in the file; they are computed before each sound, because nothing outlives a call.
"""

from __future__ import annotations

import numpy as np

from understudy.export.executorch_flatbuffer import INT8, INT16, INT32, ExecutorchWriter, Tensor, Value
from understudy.projections.log_mel import (
    AMPLITUDE,
    BANDS,
    EXPONENTS,
    FIRST_OCTAVE,
    LAST_OCTAVE,
    LOG_MEL,
    OCTAVE_STEPS,
    OFFSET,
    POSITION_STEPS,
    SPECTRUM_BITS,
    LogMel,
    octave_parts,
)


def write_log_mel(writer: ExecutorchWriter, log_mel: LogMel, samples: Tensor) -> Tensor:
    """Append the calls of ``log_mel`` and return the picture."""
    writer.owner = LOG_MEL
    picture = _SoundWriter(writer, log_mel).picture(samples)
    writer.owner = ""
    return picture


class _SoundWriter:
    def __init__(self, writer: ExecutorchWriter, log_mel: LogMel) -> None:
        self._writer = writer
        self._log_mel = log_mel

    def picture(self, samples: Tensor) -> Tensor:
        """spec/program.md 13."""
        writer, log_mel, call = self._writer, self._log_mel, self._call
        count, size = log_mel.frames, log_mel.frame
        frames = writer.tensor((count, size))
        call("as_strided_copy.out", self._float(samples), list(frames.shape), [log_mel.hop, 1], None, frames)
        largest = call("abs.out", frames, writer.tensor(frames.shape))
        peak = call("amax.out", largest, [1], True, writer.tensor((count, 1)))
        powers = 2.0 ** np.arange(EXPONENTS)
        reached = call("ge.Tensor_out", peak, writer.constant(powers), writer.tensor((count, EXPONENTS)))
        # 2**-exponent is what remains of 1 after a half, a quarter and so on for each power that is reached
        most = 2.0 ** (log_mel.frame_bits - 8)
        scale = self._product(reached, writer.constant([-most / 2 / powers]), bias=writer.constant([most]))
        cosine = self._float(writer.constant(log_mel.cosine, INT8))
        window = call("add.Scalar_out", cosine, AMPLITUDE, 1, writer.tensor(cosine.shape))
        call("mul.out", frames, window, frames)
        call("mul.out", frames, scale, frames)
        call("round.out", frames, frames)
        spectrum = self._product(frames, self._sines(cosine))
        call("round.out", spectrum, spectrum)
        call("mul.out", spectrum, spectrum, spectrum)
        power = writer.tensor((count, log_mel.bins))
        call("sum.IntList_out", spectrum.view((count, 2, log_mel.bins)), [1], False, None, power)
        energy = self._product(power, self._weights())
        enough = writer.tensor((count, BANDS, OCTAVE_STEPS * (LAST_OCTAVE - FIRST_OCTAVE)))
        call("ge.Tensor_out", energy.view((count, BANDS, 1)), self._thresholds(), enough)
        value = call("sum.IntList_out", enough, [2], False, None, writer.tensor((count, BANDS)))
        steps = writer.constant(np.full((1, EXPONENTS), 2 * OCTAVE_STEPS))
        loudness = self._product(reached, steps, bias=writer.constant([-OFFSET]))
        call("add.out", value, loudness, 1, value)
        return call("clamp.out", value, 0, 255, value).view((1, count, BANDS, 1))

    def _sines(self, cosine: Tensor) -> Tensor:
        """Return the matrix ``[2 * bins, N]`` of a frame's cosine and sine transforms."""
        writer, log_mel, call = self._writer, self._log_mel, self._call
        size, bins = log_mel.frame, log_mel.bins
        time = call("arange.start_out", 0, size, 1, writer.tensor((size,)))
        angles = writer.tensor((2 * bins, size))
        first = angles.view((bins, size))
        call("mul.out", time.view((bins, 1)), time, first)
        call("add.Scalar_out", first, 3 * size // 4, 1, angles.view((bins, size), begin=bins * size))
        call("remainder.Scalar_out", angles, size, angles)
        index = call("_to_copy.out", angles, False, None, writer.tensor(angles.shape, INT32))
        table = call("mul.Scalar_out", cosine, 2.0**-SPECTRUM_BITS, writer.tensor(cosine.shape)).view((size, 1))
        found = writer.tensor((*angles.shape, 1))
        return call("embedding.out", table, index, -1, False, False, found).view(angles.shape)

    def _weights(self) -> Tensor:
        """Return the bands' weights ``[BANDS, bins]``."""
        writer, call = self._writer, self._call
        positions = self._float(writer.constant(self._log_mel.positions, INT16))
        bands = writer.constant(POSITION_STEPS * np.arange(BANDS)[:, None])
        weights = writer.tensor((BANDS, self._log_mel.bins))
        call("sub.out", positions, bands, 1, weights)
        call("abs.out", weights, weights)
        call("mul.Scalar_out", weights, -1, weights)
        call("add.Scalar_out", weights, POSITION_STEPS, 1, weights)
        return call("relu.out", weights, weights)

    def _thresholds(self) -> Tensor:
        octaves = self._writer.constant(2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)[:, None])
        parts = self._writer.constant(octave_parts() / octave_parts()[0])
        found = self._writer.tensor((octaves.size, parts.size))
        return self._call("mul.out", octaves, parts, found).view((found.size,))

    def _float(self, x: Tensor) -> Tensor:
        return self._call("_to_copy.out", x, False, None, self._writer.tensor(x.shape))

    def _product(self, x: Tensor, weights: Tensor, *, bias: Tensor | None = None) -> Tensor:
        """Return ``x @ weights.T``."""
        return self._call("linear.out", x, weights, bias, self._writer.tensor((x.shape[0], weights.shape[0])))

    def _call(self, kernel: str, *arguments: Value) -> Tensor:
        return self._writer.call(f"aten::{kernel}", *arguments)
