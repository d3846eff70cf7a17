"""The C format in float: ``model_float.h`` computes the program in real numbers, for cores with a floating-point unit.

Weights stay integers of a byte with a scale for each output: their product is the real weight, and a file of four-byte weights
would only be longer. ``spec/program.md`` 27.
"""

from __future__ import annotations

from pathlib import Path

from understudy.export.c import RUNTIME, HeaderExporter
from understudy.export.c_float_source import write_float_source
from understudy.export.c_session import CFloatSession, compile_float_session
from understudy.export.c_source import Source
from understudy.program.ops import Program

FLOAT_RUNTIME = "understudy_float.h"


class CFloatExporter(HeaderExporter):
    """``--format c_float``. Budgets count flash on a Cortex-M4 with its floating-point unit."""

    format = "c_float"
    filename = "model_float.h"
    runtimes = (RUNTIME, FLOAT_RUNTIME)
    guard = "USF"
    example = "example_float"

    def identifier(self, name: str) -> str:
        """Return names that do not meet those of the same model in integers."""
        return f"{super().identifier(name)}_float"

    def source(self, program: Program, identifier: str) -> Source:
        """Return ``program`` as C that computes it in real numbers.

        Raises:
            InputError: a float program, one with islands or signs of what layers give, or one beyond the runtime's types.
        """
        return write_float_source(program, identifier)

    def open(self, folder: Path, *, name: str) -> CFloatSession:
        """Compile the header in ``folder`` with this machine's C compiler and return a session on it.

        Raises:
            SetupError: no C compiler.
            VerificationError: the header does not compile.
        """
        return compile_float_session(folder, self.filename, self.identifier(name))
