"""A function of one number in LiteRT operators: GATHER from its table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.export.litert_flatbuffer import INT8, INT32, FlatbufferWriter
from understudy.program.ops import Quantization


def write_lookup(writer: FlatbufferWriter, source: int, values: npt.NDArray[np.int8], *, quantization: Quantization) -> int:
    """Append the lookup of int8 ``source`` in a table of 256 ``values``: places in it are int32, and from 0 on."""
    shape = writer.shape(source)
    scale, zero_point = quantization.scale, quantization.zero_point
    offset = writer.tensor((1,), INT32, data=np.asarray([128], np.int32))
    wide = writer.operator("CAST", [source], writer.tensor(shape, INT32), ("CastOptions", {}))
    place = writer.operator("ADD", [wide, offset], writer.tensor(shape, INT32), ("AddOptions", {}))
    table = writer.tensor((256,), INT8, scale=scale, zero_point=zero_point, data=values)
    target = writer.tensor(shape, INT8, scale=scale, zero_point=zero_point)
    return writer.operator("GATHER", [table, place], target, ("GatherOptions", {}))
