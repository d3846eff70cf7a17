"""The projection by boxes in the C format: the boxes follow from seed and row number in every prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from understudy.export.box_graph import CONSTANTS
from understudy.program.ops import ProjectBoxes
from understudy.projections.boxes import STREAM
from understudy.projections.mixer import counter_start

if TYPE_CHECKING:
    from understudy.export.c_writer import Writer

BOXES_BYTES = 28
"""Size of the runtime's ``us_boxes`` on a 32-bit core; a test compares it with the compiler's."""


def write_boxes(writer: Writer, node: ProjectBoxes) -> None:
    """Write the numbers of a projection's rows and its call."""
    name, projection = writer.names[node.output], node.projection
    writer.array(CONSTANTS, "uint16_t", f"{name}_rows", [int(row) for row in np.asarray(projection.rows, np.uint16)])
    fields = [
        writer.pointer(node.input),
        writer.pointer(node.output),
        f"{name}_rows",
        f"0x{counter_start(projection.seed, STREAM):08X}u",
        projection.features,
        *projection.shape,
        writer.program.quantization[node.input].zero_point,
    ]
    writer.constant(CONSTANTS, BOXES_BYTES, f"static const us_boxes {name} = {{{', '.join(map(str, fields))}}};")
    writer.call("us_project_boxes", f"&{name}")
