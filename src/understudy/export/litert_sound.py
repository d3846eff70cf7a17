"""The log-mel picture in LiteRT operators: samples int16 ``[1, samples]`` to an int8 image ``[1, frames, bands, 1]``.

What does not depend on the samples (sines, weights, thresholds) is computed from short tables in every prediction, because a
file that stored it would be many times larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.export.litert_flatbuffer import BOOL, FLOAT32, INT8, INT16, INT32, FlatbufferWriter, Options
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

_RELU = 1


def write_log_mel(writer: FlatbufferWriter, log_mel: LogMel, samples: int, image: int) -> int:
    """Append the operators of ``log_mel``, which write the tensor ``image``, and return it."""
    return _SoundWriter(writer, log_mel).image(samples, image)


class _SoundWriter:
    def __init__(self, writer: FlatbufferWriter, log_mel: LogMel) -> None:
        self._writer = writer
        self._log_mel = log_mel

    def image(self, samples: int, image: int) -> int:
        """spec/program.md 13."""
        log_mel = self._log_mel
        frames, bins = log_mel.frames, log_mel.bins
        self._writer.owner = LOG_MEL
        halves = self._reshaped(self._float("CAST", [samples], (1, log_mel.samples)), (frames + 1, log_mel.hop))
        both = [self._rows(halves, 0), self._rows(halves, 1)]
        whole = self._float("CONCATENATION", both, (frames, log_mel.frame), ("ConcatenationOptions", {"axis": 1}))
        peak = self._reduced("REDUCE_MAX", self._float("ABS", [whole], (frames, log_mel.frame)), [1], keep=True)
        powers = 2.0 ** np.arange(EXPONENTS)
        reached = self._reached(peak, self._constant(powers), (frames, EXPONENTS))
        # 2**-exponent is what remains of 1 after a half, a quarter and so on for each power that is reached
        largest = 2.0 ** (log_mel.frame_bits - 8)
        scale = self._linear(reached, -largest / 2 / powers, largest)
        loudness = self._linear(reached, np.full(EXPONENTS, 2 * OCTAVE_STEPS), -OFFSET)
        window = self._table(log_mel.cosine, scale=1, zero_point=-AMPLITUDE)
        windowed = self._float("ROUND", [self._product(self._product(whole, window), scale)], (frames, log_mel.frame))
        # cosine and sine transforms side by side: [2, frames, bins]
        transformed = self._multiplied(windowed, self._sines(), (2, frames, bins))
        spectrum = self._float("ROUND", [transformed], (2, frames, bins))
        parts = self._multiplied(self._product(spectrum, spectrum), self._weights(), (2, frames, BANDS))
        energy = self._reshaped(self._reduced("SUM", parts, [0]), (frames, BANDS, 1, 1))
        octaves = LAST_OCTAVE - FIRST_OCTAVE
        thresholds = self._float(
            "MUL",
            [
                self._constant(2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE)[:, None]),
                self._constant(octave_parts() / octave_parts()[0]),
            ],
            (octaves, OCTAVE_STEPS),
        )
        enough = self._reached(energy, thresholds, (frames, BANDS, octaves, OCTAVE_STEPS))
        count = self._reduced("SUM", enough, [2, 3])
        value = self._float("ADD", [count, loudness], (frames, BANDS))
        # an image's step is 1 / 255; what is beyond its ends is cut off when it is quantized
        real = self._reshaped(self._product(value, self._constant(1 / 255)), (1, frames, BANDS, 1))
        return self._writer.operator("QUANTIZE", [real], image)

    def _sines(self) -> int:
        """Return the cosine and the sine transform of a frame: ``[2, bins, N]``."""
        log_mel = self._log_mel
        size, bins = log_mel.frame, log_mel.bins
        angles = self._integer("MUL", [self._column(self._range(bins)), self._range(size)], (bins, size))
        quarters = self._writer.tensor((2, 1, 1), INT32, data=np.asarray([0, 3 * size // 4], np.int32).reshape(2, 1, 1))
        shape = (2, bins, size)
        index = self._integer("ADD", [angles, quarters], shape)
        index = self._integer("FLOOR_MOD", [index, self._writer.tensor((), INT32, data=np.asarray(size, np.int32))], shape)
        return self._float("GATHER", [self._table(log_mel.cosine, scale=2.0**-SPECTRUM_BITS), index], shape)

    def _weights(self) -> int:
        """Return the bands' weights ``[BANDS, bins]``."""
        bins = self._log_mel.bins
        stored = self._writer.tensor((bins,), INT16, data=self._log_mel.positions.astype(np.int16))
        bands = self._table(np.arange(BANDS, dtype=np.int8)[:, None], scale=POSITION_STEPS)
        distance = self._float("SUB", [self._float("CAST", [stored], (bins,)), bands], (BANDS, bins))
        distance = self._float("ABS", [distance], (BANDS, bins))
        options = ("SubOptions", {"fusedActivationFunction": _RELU})
        return self._float("SUB", [self._constant(POSITION_STEPS), distance], (BANDS, bins), options)

    def _table(self, values: npt.NDArray[np.int8], *, scale: float, zero_point: int = 0) -> int:
        stored = self._writer.tensor(values.shape, INT8, scale=scale, zero_point=zero_point, data=values)
        return self._float("DEQUANTIZE", [stored], values.shape)

    def _reached(self, x: int, limits: int, shape: tuple[int, ...]) -> int:
        """Return 1 where ``x`` is at least as large as ``limits``, else 0."""
        enough = self._writer.operator("GREATER_EQUAL", [x, limits], self._writer.tensor(shape, BOOL))
        return self._float("CAST", [enough], shape)

    def _linear(self, x: int, weights: npt.NDArray[np.floating[Any]], bias: float) -> int:
        """Return ``x @ weights + bias`` as a column."""
        inputs = [x, self._constant(weights[None]), self._constant([bias])]
        return self._float("FULLY_CONNECTED", inputs, (self._log_mel.frames, 1), ("FullyConnectedOptions", {}))

    def _multiplied(self, rows: int, columns: int, shape: tuple[int, ...]) -> int:
        """Return ``rows @ columns.T``."""
        return self._float("BATCH_MATMUL", [rows, columns], shape, ("BatchMatMulOptions", {"adjY": True}))

    def _product(self, x: int, y: int) -> int:
        return self._float("MUL", [x, y], self._writer.shape(x))

    def _rows(self, halves: int, begin: int) -> int:
        shape = (self._log_mel.frames, self._log_mel.hop)
        ends = [self._writer.tensor((2,), INT32, data=np.asarray(at, np.int32)) for at in ((begin, 0), shape)]
        return self._float("SLICE", [halves, *ends], shape)

    def _reduced(self, code: str, x: int, axes: list[int], *, keep: bool = False) -> int:
        shape = [1 if i in axes else n for i, n in enumerate(self._writer.shape(x)) if keep or i not in axes]
        which = self._writer.tensor((len(axes),), INT32, data=np.asarray(axes, np.int32))
        return self._float(code, [x, which], shape, ("ReducerOptions", {"keepDims": keep}))

    def _range(self, count: int) -> int:
        limits = [self._writer.tensor((), INT32, data=np.asarray(value, np.int32)) for value in (0, count, 1)]
        return self._integer("RANGE", limits, (count,))

    def _column(self, x: int) -> int:
        shape = (*self._writer.shape(x), 1)
        return self._integer("RESHAPE", [x], shape, ("ReshapeOptions", {"newShape": list(shape)}))

    def _reshaped(self, x: int, shape: tuple[int, ...]) -> int:
        return self._float("RESHAPE", [x], shape, ("ReshapeOptions", {"newShape": list(shape)}))

    def _constant(self, values: npt.ArrayLike) -> int:
        array = np.asarray(values, np.float32)
        return self._writer.tensor(array.shape, FLOAT32, data=array)

    def _integer(self, code: str, inputs: Sequence[int], shape: Sequence[int], options: Options | None = None) -> int:
        return self._writer.operator(code, inputs, self._writer.tensor(shape, INT32), options)

    def _float(self, code: str, inputs: Sequence[int], shape: Sequence[int], options: Options | None = None) -> int:
        return self._writer.operator(code, inputs, self._writer.tensor(shape, FLOAT32), options)
