"""The static RAM that a program takes as C on a device, with integers and in float."""

from __future__ import annotations

from collections.abc import Iterable

from understudy.export.c import CExporter, HeaderExporter
from understudy.export.c_float import CFloatExporter
from understudy.formats import FLOAT_RAM, RAM, ram_limits
from understudy.program.ops import Program

_WRITERS: dict[str, HeaderExporter] = {RAM: CExporter(), FLOAT_RAM: CFloatExporter()}


def static_ram_bytes(program: Program, formats: Iterable[str]) -> dict[str, int]:
    """Return the static RAM of ``program`` on cores without vectors, by the limits of RAM that ``formats`` have.

    Raises:
        InputError: a program that the C of one of ``formats`` cannot hold.
    """
    return {name: _WRITERS[name].ram_bytes(program) for name in ram_limits(formats)}
