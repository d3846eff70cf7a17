"""ExecuTorch: one ``model.pte`` with portable kernels only, written from the program without a converter.

Needs the packages flatbuffers (to write) and executorch with torch (to run).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import BundleError, missing_extra, missing_package
from understudy.export.model_file import ModelFileExporter, read_model_file
from understudy.export.protocol import Float32Array, Inputs
from understudy.export.refused import need_integers, need_no_recurrence
from understudy.program.ops import Program

try:
    import torch
    from executorch.extension.pybindings import _C as runtime  # noqa: N811 - a module

    from understudy.export.executorch_flatbuffer import NUMPY, check_length
    from understudy.export.executorch_program import write_program
except ImportError as error:
    if (error.name or "").startswith("understudy"):
        raise  # a fault of ours is no missing package
    if error.name == "torch":  # the extra may be there: its name would send the user the wrong way
        raise missing_package(purpose="running ExecuTorch files", package="torch") from error
    raise missing_extra(purpose="ExecuTorch files", extra="executorch") from error


class ExecutorchSession:
    """A ``.pte`` file in ExecuTorch's runtime with its own kernels, batch 1.

    Given a path, it is loaded as apps and our own examples do: the runtime gives back what it has read of a file, and what
    still points there stops the process, which a file in memory does not show.
    """

    def __init__(self, given: bytes | Path) -> None:
        self.runtime = f"executorch {importlib.metadata.version('executorch')}"
        self._given = given  # the runtime reads bytes where they lie
        with contextlib.redirect_stderr(
            io.StringIO()
        ):  # the runtime's log; what is wrong with a file reaches the caller as an exception
            # what executorch.runtime calls, whose import loads the whole compiler
            runtime._unsafe_reset_threadpool(1)  # noqa: SLF001
            self._program = _loaded(given)
            described = self._program.method_meta("forward")
            [self._classes] = described.output_tensor_meta(0).sizes()[1:]
            read = described.input_tensor_meta(0)
            self.predict(np.zeros(read.sizes(), NUMPY[read.dtype()]))

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        rows = np.require(inputs, requirements=("C", "W"))  # torch warns of what may not be written
        out = np.empty((len(rows), self._classes), np.float32)
        for i in range(len(rows)):
            [answer] = self._program.forward([torch.from_numpy(rows[i : i + 1])])
            out[i] = answer.numpy()[0]
        return out


def _loaded(given: bytes | Path) -> Any:
    if isinstance(given, Path):
        return runtime._load_for_executorch(str(given))  # noqa: SLF001
    return runtime._load_for_executorch_from_buffer(given)  # noqa: SLF001


class ExecutorchExporter(ModelFileExporter):
    """Writes and opens ``model.pte``."""

    format = "executorch"
    filename = "model.pte"
    session = ExecutorchSession

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
        return self._opened(read_model_file(path), path, from_path=True)

    def open_content(self, content: bytes, *, path: Path) -> ExecutorchSession:
        """Return a session on ``content``, which messages call ``path``.

        Raises:
            BundleError: it is damaged, or not one for this runtime.
        """
        return self._opened(content, path, from_path=False)

    def _opened(self, content: bytes, path: Path, *, from_path: bool) -> ExecutorchSession:
        try:
            check_length(content)
            return self.session(path if from_path else content)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise BundleError(
                f"an ExecuTorch program must be complete and use known kernels: received path={str(path)!r} ({reason}); "
                "copy or compress it again"
            ) from error
