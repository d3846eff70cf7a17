"""The log-mel picture in Core ML operators: samples int32 ``[1, samples]`` to float32 ``[1, 1, frames, bands]``, 0 to 255.

What does not depend on the samples (sines, weights, thresholds) follows from a few numbers in the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.export.coreml_messages import MIL
from understudy.export.coreml_text import integers
from understudy.export.coreml_writer import CoremlWriter
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


def write_log_mel(writer: CoremlWriter, log_mel: LogMel, samples: str) -> str:
    """Append the operators of ``log_mel`` and return the name of the picture."""
    writer.owner = LOG_MEL
    picture = _SoundWriter(writer, log_mel).picture(samples)
    writer.owner = ""
    return picture


class _SoundWriter:
    def __init__(self, writer: CoremlWriter, log_mel: LogMel) -> None:
        self._writer = writer
        self._log_mel = log_mel

    def picture(self, samples: str) -> str:
        """spec/program.md 13."""
        writer, log_mel = self._writer, self._log_mel
        count, size = log_mel.frames, log_mel.frame
        real = writer.operator("cast", {"x": samples}, (1, log_mel.samples), dtype="fp32")
        halves = self._reshape(real, (count + 1, log_mel.hop))
        parts = [self._rows(halves, begin) for begin in (0, 1)]
        frames = writer.operator("concat", {"values": parts}, (count, size), axis=np.int32(1), interleave=False)
        loudest = self._same("abs", frames)
        peak = writer.operator("reduce_max", {"x": loudest}, (count, 1), axes=integers(1), keep_dims=True)
        powers = 2.0 ** np.arange(EXPONENTS)
        reached = self._reached(peak, writer.floats(powers), (count, EXPONENTS))
        # 2**-exponent is what remains of 1 after a half, a quarter and so on for each power that is reached
        most = 2.0 ** (log_mel.frame_bits - 8)
        taken = self._product(reached, writer.floats([-most / 2 / powers]), (count, 1))
        scale = self._by_number("add", taken, most)
        cosine = writer.bytes8(log_mel.cosine)
        windowed = self._pair("mul", frames, self._by_number("add", cosine, AMPLITUDE), (count, size))
        windowed = self._same("round", self._pair("mul", windowed, scale, (count, size)))
        spectrum = self._same("round", self._product(windowed, self._sines(cosine), (count, 2 * log_mel.bins)))
        squares = self._reshape(self._pair("mul", spectrum, spectrum, (count, 2 * log_mel.bins)), (count, 2, log_mel.bins))
        power = self._sum(squares, 1, (count, log_mel.bins))
        energy = self._reshape(self._product(power, self._weights(), (count, BANDS)), (count, BANDS, 1))
        steps = OCTAVE_STEPS * (LAST_OCTAVE - FIRST_OCTAVE)
        value = self._sum(self._reached(energy, self._thresholds(), (count, BANDS, steps)), 2, (count, BANDS))
        loudness = self._product(reached, writer.floats(np.full((1, EXPONENTS), 2 * OCTAVE_STEPS)), (count, 1))
        value = self._pair("add", value, self._by_number("add", loudness, -OFFSET), (count, BANDS))
        value = writer.operator("clip", {"x": value}, (count, BANDS), alpha=np.float32(0), beta=np.float32(255))
        return self._reshape(value, (1, 1, count, BANDS))

    def _sines(self, cosine: str) -> str:
        """Return the matrix ``[2 * bins, N]`` of a frame's cosine and sine transforms."""
        writer, size, bins = self._writer, self._log_mel.frame, self._log_mel.bins
        angles = self._pair("mul", self._reshape(self._range(bins), (bins, 1)), self._range(size), (bins, size))
        both = [angles, self._by_number("add", angles, 3 * size // 4)]
        shape = (2 * bins, size)
        angles = writer.operator("concat", {"values": both}, shape, axis=np.int32(0), interleave=False)
        index = writer.operator("cast", {"x": self._by_number("mod", angles, size)}, shape, data_type=MIL.INT32, dtype="int32")
        table = self._by_number("mul", cosine, 2.0**-SPECTRUM_BITS)
        return writer.operator("gather", {"x": table, "indices": index}, shape, axis=np.int32(0))

    def _weights(self) -> str:
        """Return the bands' weights ``[BANDS, bins]``."""
        writer, log_mel = self._writer, self._log_mel
        shape = (BANDS, log_mel.bins)
        # a position is from -16 to 512, and there are no wider integers among constants: 16 bytes and a rest
        factors = writer.bytes8(log_mel.positions // POSITION_STEPS)
        rests = writer.bytes8(log_mel.positions % POSITION_STEPS)
        positions = self._pair("add", self._by_number("mul", factors, POSITION_STEPS), rests, (log_mel.bins,))
        bands = self._by_number("mul", self._reshape(self._range(BANDS), (BANDS, 1)), POSITION_STEPS)
        distance = self._same("abs", self._pair("sub", positions, bands, shape))
        nearness = self._by_number("add", self._by_number("mul", distance, -1), POSITION_STEPS)
        return self._same("relu", nearness)

    def _thresholds(self) -> str:
        octaves = self._writer.floats(2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)[:, None])
        parts = self._writer.floats(octave_parts() / octave_parts()[0])
        count = LAST_OCTAVE - FIRST_OCTAVE
        return self._reshape(self._pair("mul", octaves, parts, (count, OCTAVE_STEPS)), (count * OCTAVE_STEPS,))

    def _rows(self, halves: str, begin: int) -> str:
        count, hop = self._log_mel.frames, self._log_mel.hop
        begins, ends = integers(begin, 0), integers(begin + count, hop)
        return self._writer.operator("slice_by_index", {"x": halves}, (count, hop), begin=begins, end=ends)

    def _range(self, count: int) -> str:
        return self._writer.operator("range_1d", {}, (count,), start=np.float32(0), end=np.float32(count), step=np.float32(1))

    def _reached(self, x: str, limits: str, shape: Sequence[int]) -> str:
        """Return 1.0 where ``x`` is at least as large, else 0.0."""
        found = self._writer.operator("greater_equal", {"x": x, "y": limits}, shape, data_type=MIL.BOOL)
        return self._writer.operator("cast", {"x": found}, shape, dtype="fp32")

    def _product(self, x: str, weights: str, shape: Sequence[int]) -> str:
        """Return ``x @ weights.T``."""
        return self._writer.operator("matmul", {"x": x, "y": weights}, shape, transpose_x=False, transpose_y=True)

    def _pair(self, kind: str, x: str, y: str, shape: Sequence[int]) -> str:
        return self._writer.operator(kind, {"x": x, "y": y}, shape)

    def _by_number(self, kind: str, x: str, number: float) -> str:
        return self._writer.operator(kind, {"x": x}, self._writer.shape(x), y=np.asarray(number, np.float32))

    def _same(self, kind: str, x: str) -> str:
        return self._writer.operator(kind, {"x": x}, self._writer.shape(x))

    def _sum(self, x: str, axis: int, shape: Sequence[int]) -> str:
        return self._writer.operator("reduce_sum", {"x": x}, shape, axes=integers(axis), keep_dims=False)

    def _reshape(self, x: str, shape: Sequence[int]) -> str:
        return self._writer.operator("reshape", {"x": x}, shape, shape_=integers(*shape))
