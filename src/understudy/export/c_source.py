"""Program to C source: constants, static RAM and the predict function of a generated ``model.h``."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.export.c_arrays import write_numbers, write_pixels, write_sound
from understudy.export.c_boxes import write_boxes
from understudy.export.c_image import write_conv
from understudy.export.c_limits import check_limits
from understudy.export.c_pointwise import write_lookup, write_multiply
from understudy.export.c_ram import static_ram
from understudy.export.c_rows import write_add, write_concat, write_flatten, write_local_max_pool, write_rows, write_scan
from understudy.export.c_writer import Constant, Writer
from understudy.export.refused import need_integers
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    ProjectBoxes,
    ProjectText,
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions


@dataclass(frozen=True)
class Source:
    """A program as C.

    Attributes:
        constants: every constant object, in order.
        memory: definition of the static RAM.
        ram_bytes: its size on cores without vectors.
        vector_ram_bytes: its size on others, whatever their vectors.
        calls: the runtime functions that the predict function calls, once for each call.
        predict: body of the predict function.
    """

    constants: tuple[Constant, ...]
    memory: str
    ram_bytes: int
    vector_ram_bytes: int
    calls: tuple[str, ...]
    predict: str


def write_source(program: Program, identifier: str) -> Source:
    """Return an integer ``program`` as C, every name beginning with ``us_<identifier>_``.

    Raises:
        InputError: a float program, or one that exceeds the runtime's integer types.
    """
    need_integers(program, format_name="C")
    check_limits(program)
    writer = Writer(program, identifier)
    for node in program.nodes:
        write_node(writer, node)
    memory, ram_bytes, vector_ram_bytes = static_ram(
        program,
        writer.prefix,
        tensor_bytes=writer.place.tensor_bytes,
        table_bytes=writer.table_bytes,
        blocks=writer.blocks,
    )
    return Source(tuple(writer.constants), memory, ram_bytes, vector_ram_bytes, tuple(writer.calls), "\n".join(writer.lines))


def write_node(writer: Writer, node: Node) -> None:
    """Write the constants and the calls of ``node``.

    Raises:
        TypeError: it computes no integers.
    """
    match node:
        case ProjectText():
            writer.projection(node.projection)
        case Image():
            write_pixels(writer, node)
        case Sound():
            write_sound(writer, node)
        case Standardize():
            write_numbers(writer, node)
        case ProjectBoxes():
            write_boxes(writer, node)
        case Linear():
            writer.linear(node)
        case Conv() | DepthwiseConv():
            write_conv(writer, node)
        case Window() if node.output in writer.place.gathered_windows:
            pass
        case Window() | MaxPool() | SumPool():
            write_rows(writer, node)
        case LocalMaxPool():
            write_local_max_pool(writer, node)
        case Add():
            write_add(writer, node)
        case Lookup():
            write_lookup(writer, node)
        case Multiply():
            write_multiply(writer, node)
        case Scan():
            write_scan(writer, node)
        case Flatten():
            write_flatten(writer, node)
        case Concat():
            write_concat(writer, node)
        case Positions() | Place() | LayerNorm() | Attention():
            raise TypeError(f"no integers: {node.output}")
        case Softmax():
            writer.softmax(node)
