"""ExecuTorch with XNNPACK: one ``model_xnnpack.pte`` whose layers are XNNPACK's int8 operators.

Needs what ``executorch`` needs, and a runtime with the XNNPACK backend, which the one on phones and the Python package have.
"""

from __future__ import annotations

from understudy.export.executorch import ExecutorchExporter
from understudy.export.executorch_xnnpack_program import write_program
from understudy.export.refused import need_integers, need_no_recurrence
from understudy.program.ops import Program


class ExecutorchXnnpackExporter(ExecutorchExporter):
    """Writes and opens ``model_xnnpack.pte``, which the same session runs."""

    format = "executorch_xnnpack"
    filename = "model_xnnpack.pte"

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a float program, or one with a recurrence, is refused."""
        need_integers(program, format_name=self.format)
        need_no_recurrence(program, format_name=self.format)
        return write_program(program)
