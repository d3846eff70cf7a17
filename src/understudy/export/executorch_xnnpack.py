"""ExecuTorch with XNNPACK: one ``model_xnnpack.pte`` whose layers are XNNPACK's int8 operators.

Needs what ``executorch`` needs, and a runtime with the XNNPACK backend, which the one on phones and the Python package have.
"""

from __future__ import annotations

from pathlib import Path

from understudy.export.executorch import ExecutorchSession, open_program
from understudy.export.executorch_xnnpack_program import write_program
from understudy.export.model_file import ModelFileExporter, read_model_file
from understudy.export.refused import need_integers, need_no_recurrence
from understudy.program.ops import Program


class ExecutorchXnnpackExporter(ModelFileExporter):
    """Writes and opens ``model_xnnpack.pte``."""

    format = "executorch_xnnpack"
    filename = "model_xnnpack.pte"

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a float program, or one with a recurrence, is refused."""
        need_integers(program, format_name=self.format)
        need_no_recurrence(program, format_name=self.format)
        return write_program(program)

    def open(self, folder: Path, *, name: str) -> ExecutorchSession:  # noqa: ARG002 - files do not hold the name
        """Return a session on the file.

        Raises:
            BundleError: the file is missing, damaged, or not one for this runtime.
        """
        path = folder / self.filename
        return self.open_content(read_model_file(path), path=path)

    def open_content(self, content: bytes, *, path: Path) -> ExecutorchSession:
        """Return a session on ``content``, which messages call ``path``.

        Raises:
            BundleError: it is damaged, or not one for this runtime.
        """
        return open_program(content, path=path)
