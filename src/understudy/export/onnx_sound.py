"""The log-mel picture in ONNX operators: samples int16 ``[1, samples]`` to pixels uint8 ``[1, 1, frames, bands]``.

What does not depend on the samples (sines, weights, thresholds) is computed once by the runtime, when it loads the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from understudy.export.onnx_writer import FLOAT, INT8, INT16, INT64, UINT8, OnnxWriter
from understudy.projections.log_mel import (
    AMPLITUDE,
    BANDS,
    EXPONENTS,
    FIRST_OCTAVE,
    LAST_OCTAVE,
    OCTAVE_STEPS,
    OFFSET,
    POSITION_STEPS,
    SPECTRUM_BITS,
    LogMel,
    octave_parts,
)

LOG_MEL = "log-mel"
"""Row of a byte table."""


def write_log_mel(writer: OnnxWriter, log_mel: LogMel, samples: str) -> str:
    """Append the nodes of ``log_mel`` and return the name of the pixels."""
    return _SoundWriter(writer, log_mel).pixels(samples)


class _SoundWriter:
    def __init__(self, writer: OnnxWriter, log_mel: LogMel) -> None:
        self._writer = writer
        self._log_mel = log_mel

    def pixels(self, samples: str) -> str:
        """spec/program.md 13."""
        node, log_mel = self._writer.node, self._log_mel
        self._writer.owner = LOG_MEL
        real = self._float(samples)
        halves = self._reshape(real, (log_mel.frames + 1, log_mel.hop))
        frames = node("Concat", [self._rows(halves, 0), self._rows(halves, 1)], axis=1)
        peak = node("ReduceMax", [node("Abs", [frames]), self._integers([1])])
        powers = 2.0 ** np.arange(EXPONENTS)
        reached = self._float(node("GreaterOrEqual", [peak, self._constant(powers)]))
        # 2**-exponent is what remains of 1 after a half, a quarter and so on for each power that is reached
        largest = 2.0 ** (log_mel.frame_bits - 8)
        taken = node("MatMul", [reached, self._constant(-largest / 2 / powers[:, None])])
        scale = node("Add", [taken, self._constant(largest)])
        cosine = self._float(self._writer.constant(log_mel.cosine, INT8))
        window = node("Add", [cosine, self._constant(AMPLITUDE)])
        windowed = node("Round", [node("Mul", [node("Mul", [frames, window]), scale])])
        spectrum = node("Round", [node("MatMul", [windowed, self._sines(cosine)])])
        energy = node("MatMul", [node("Mul", [spectrum, spectrum]), self._weights()])
        enough = node("GreaterOrEqual", [self._reshape(energy, (log_mel.frames, BANDS, 1)), self._thresholds()])
        count = node("ReduceSum", [self._float(enough), self._integers([2])], keepdims=0)
        steps = np.full((EXPONENTS, 1), 2 * OCTAVE_STEPS)
        loudness = node("MatMul", [reached, self._constant(steps)])
        value = node("Add", [node("Add", [count, self._constant(-OFFSET)]), loudness])
        value = node("Clip", [value, self._constant(0), self._constant(255)])
        return self._reshape(node("Cast", [value], to=UINT8), (1, 1, log_mel.frames, BANDS))

    def _sines(self, cosine: str) -> str:
        """Return the matrix ``[N, 2 * bins]`` of a frame's cosine and sine transforms."""
        node, log_mel = self._writer.node, self._log_mel
        size = self._writer.constant(log_mel.frame, INT64)
        time = self._reshape(self._range(log_mel.frame), (-1, 1, 1))
        angles = node("Mul", [time, self._range(log_mel.bins)])
        quarters = self._integers([0, 3 * log_mel.frame // 4])
        index = node("Mod", [node("Add", [angles, self._reshape(quarters, (2, 1))]), size])
        scaled = node("Mul", [cosine, self._constant(2.0**-SPECTRUM_BITS)])
        return self._reshape(node("Gather", [scaled, index]), (log_mel.frame, 2 * log_mel.bins))

    def _weights(self) -> str:
        """Return the bands' weights ``[2 * bins, BANDS]``, the same for cosines and sines."""
        node = self._writer.node
        positions = self._float(self._writer.constant(self._log_mel.positions[:, None], INT16))
        bands = node("Mul", [self._float(self._range(BANDS)), self._constant(POSITION_STEPS)])
        distance = node("Abs", [node("Sub", [positions, bands])])
        weights = node("Relu", [node("Sub", [self._constant(POSITION_STEPS), distance])])
        return node("Concat", [weights, weights], axis=0)

    def _thresholds(self) -> str:
        octaves = self._constant(2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)[:, None])
        parts = self._constant(octave_parts() / octave_parts()[0])
        return self._reshape(self._writer.node("Mul", [octaves, parts]), (-1,))

    def _rows(self, halves: str, begin: int) -> str:
        ends = self._integers([begin]), self._integers([begin + self._log_mel.frames])
        return self._writer.node("Slice", [halves, *ends, self._integers([0])])

    def _range(self, count: int) -> str:
        limits = [self._writer.constant(value, INT64) for value in (0, count, 1)]
        return self._writer.node("Range", limits)

    def _float(self, x: str) -> str:
        return self._writer.node("Cast", [x], to=FLOAT)

    def _reshape(self, x: str, shape: tuple[int, ...]) -> str:
        return self._writer.node("Reshape", [x, self._integers(shape)])

    def _integers(self, values: Sequence[int]) -> str:
        return self._writer.constant(values, INT64)

    def _constant(self, values: np.typing.ArrayLike) -> str:
        return self._writer.constant(values, FLOAT)
