"""WebAssembly in float: ``model_float.wasm`` is the C of ``c_float.py``, with a loader of its own."""

from __future__ import annotations

from pathlib import Path

from understudy.export.c_float import CFloatExporter
from understudy.export.refused import need_reals_alone
from understudy.export.wasm import WasmExporter
from understudy.export.wasm_session import WasmSession
from understudy.program.ops import Program


class WasmFloatSession(WasmSession):
    """A module in float; see ``WasmSession``."""

    computes_in = "float32"


class WasmFloatExporter(WasmExporter):
    """Writes and runs ``model_float.wasm`` with ``model_float.mjs``; both count against a budget."""

    format = "wasm_float"
    filename = "model_float.wasm"
    c = CFloatExporter()

    def open(self, folder: Path, *, name: str) -> WasmFloatSession:  # noqa: ARG002 - the files' names are fixed
        """Return a session on the module, see ``WasmExporter``."""
        return WasmFloatSession(folder / self.filename)

    def refuse(self, program: Program) -> None:
        """Refuse what the format cannot hold.

        Raises:
            InputError: a float program, one with islands, or with signs of what layers give.
        """
        need_reals_alone(program, format_name=self.format)


MODULES = {each.format: each.filename for each in (WasmExporter, WasmFloatExporter)}
"""Formats that are WebAssembly to their modules, the exact one first."""
