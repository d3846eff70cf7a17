"""The standardization of numbers in LiteRT operators: float32 ``[1, ...]`` to int8 steps of the same shape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.export.litert_flatbuffer import BOOL, FLOAT32, INT8, FlatbufferWriter
from understudy.program.ops import Standardize


def write_standardized(writer: FlatbufferWriter, node: Standardize, source: int) -> int:
    """Append the steps of ``node``, which reads the float32 tensor ``source``; spec/program.md 14."""
    shape, quantization = (1, *node.shape), node.quantization

    def real() -> int:
        return writer.tensor(shape, FLOAT32)

    def constants(values: npt.NDArray[np.float32]) -> int:
        return writer.tensor(values.shape, FLOAT32, data=values)

    centred = writer.operator("SUB", [source, constants(node.offset)], real(), ("SubOptions", {}))
    scaled = writer.operator("MUL", [centred, constants(node.multiplier)], real(), ("MulOptions", {}))
    # NaN differs from itself, and what kernels quantize it to differs
    known = writer.operator("EQUAL", [scaled, scaled], writer.tensor(shape, BOOL), ("EqualOptions", {}))
    zero = constants(np.zeros((), np.float32))
    chosen = writer.operator("SELECT_V2", [known, scaled, zero], real(), ("SelectV2Options", {}))
    steps = writer.tensor(shape, INT8, scale=quantization.scale, zero_point=quantization.zero_point)
    return writer.operator("QUANTIZE", [chosen], steps)
