"""What tensors and constants of a program are in a LiteRT file: int8 here, float32 in ``litert_float.py``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.export.litert_flatbuffer import FLOAT32, INT8, INT32, FlatbufferWriter
from understudy.program.ops import Program, ProjectBoxes, Source

Int8Array = npt.NDArray[np.int8]


class TensorWriter:
    """Makes the tensors of ``program`` in a file; operators take them by their numbers."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._writer = FlatbufferWriter()

    def _int8(self, name: str, shape: tuple[int, ...]) -> int:
        quantization = self._program.quantization[name]
        return self._writer.tensor(shape, INT8, scale=quantization.scale, zero_point=quantization.zero_point)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> int:
        """Return a new tensor for values of ``name``."""
        return self._int8(name, shape)

    def _bounded(self, tensor: int, name: str, *, relu: bool = False) -> int:  # noqa: ARG002 - int8 ends by itself
        """Return what an operator computed within the range of ``name``; it has a relu already."""
        return tensor

    def _weight(self, values: Int8Array, scale: npt.ArrayLike, *, axis: int = 0, kind: int = INT8) -> int:
        """Return a constant of ``values`` times ``scale``, which is one or along ``axis``."""
        return self._writer.tensor(values.shape, kind, scale=scale, data=values, axis=axis)

    def _sums(self, values: npt.NDArray[np.int32], scale: npt.ArrayLike) -> int:
        """Return a constant of what sums begin with."""
        return self._writer.tensor(values.shape, INT32, scale=scale, data=values)

    def _constant(self, name: str, value: int) -> int:
        """Return the single int8 ``value`` of a tensor ``name`` as a constant."""
        quantization = self._program.quantization[name]
        scale, zero_point = quantization.scale, quantization.zero_point
        return self._writer.tensor((), INT8, scale=scale, zero_point=zero_point, data=np.asarray(value, np.int8))

    def _begun(self, node: Source | ProjectBoxes, steps: int) -> int:  # noqa: ARG002
        """Return what the layers behind ``node`` read of its integers."""
        return steps

    def _real(self, tensor: int) -> int:
        return self._writer.operator("DEQUANTIZE", [tensor], self._writer.tensor(self._writer.shape(tensor), FLOAT32))

    def _rounded(self, name: str, real: int) -> int:
        return self._writer.operator("QUANTIZE", [real], self._int8(name, self._writer.shape(real)))
