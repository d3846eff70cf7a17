"""The Arduino format in float: the C of ``c_float.py`` as a library, for boards with a floating-point unit."""

from __future__ import annotations

from pathlib import Path

from understudy.export.arduino import ArduinoExporter
from understudy.export.arduino_session import ArduinoSession
from understudy.export.c_float import CFloatExporter
from understudy.export.refused import need_reals_alone
from understudy.program.ops import Program


class ArduinoFloatSession(ArduinoSession):
    """A compiled library in float; see ``ArduinoSession``."""

    computes_in = "float32"
    internal = ("internal/model_float.h", "internal/understudy.h", "internal/understudy_float.h")


class ArduinoFloatExporter(ArduinoExporter):
    """Writes and runs ``arduino_float.zip``. Budgets count flash, as for ``c_float``."""

    format = "arduino_float"
    filename = "arduino_float.zip"
    c = CFloatExporter()

    def open(self, folder: Path, *, name: str) -> ArduinoFloatSession:
        """Compile the library and return a session on it, see ``ArduinoExporter``."""
        return ArduinoFloatSession(folder / self.filename, self.library(name))

    def refuse(self, program: Program) -> None:
        """Refuse what the format cannot hold.

        Raises:
            InputError: a float program, one with islands, or with signs of what layers give.
        """
        need_reals_alone(program, format_name=self.format)
