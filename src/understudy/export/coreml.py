"""Core ML: one ``model.mlpackage``, packed as a ZIP file, for iOS 16, macOS 13 and later.

Needs the package coremltools. Apple's runtime is on Apple's systems alone: elsewhere the program in the file is evaluated
operator by operator, and the file is not called verified.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import BundleError, missing_extra
from understudy.export.model_file import ModelFileExporter, read_model_file
from understudy.export.protocol import Float32Array, Inputs, Session
from understudy.export.refused import need_integers, need_no_recurrence
from understudy.program.ops import Program

try:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from understudy.export.coreml_evaluation import CoremlEvaluation
    from understudy.export.coreml_package import FOLDER
    from understudy.export.coreml_program import write_program
except ImportError as error:
    if (error.name or "").startswith("understudy"):
        raise  # a fault of ours is no missing package
    raise missing_extra(purpose="Core ML files", extra="coreml") from error

NOT_RUN = "Core ML is not on this machine; its program was evaluated operator by operator in NumPy"


class CoremlEvaluatedSession:
    """A package evaluated in NumPy; see ``coreml_evaluation``."""

    runtime = f"NumPy {np.__version__}, not Core ML"
    not_run = NOT_RUN

    def __init__(self, content: bytes, *, folder: str = FOLDER) -> None:
        self._evaluation = CoremlEvaluation(content, folder=folder)
        self.predict(
            np.zeros(self._evaluation.input_shape, self._evaluation.input_type)
        )  # what is wrong is found when it is opened

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        return self._evaluation.predict(inputs)


class CoremlSession:
    """A package in Core ML on the processor, batch 1, on Apple's systems."""

    def __init__(self, content: bytes, *, folder: str = FOLDER) -> None:
        import coremltools

        described = CoremlEvaluation(content, folder=folder)
        self.runtime = f"Core ML through coremltools {importlib.metadata.version('coremltools')}"
        self._input, self._output, self._classes = described.input, described.output, described.classes
        self._type = described.input_type
        with tempfile.TemporaryDirectory(prefix="understudy-coreml-") as temporary:
            (Path(temporary) / "package.zip").write_bytes(content)
            with zipfile.ZipFile(Path(temporary) / "package.zip") as archive:
                archive.extractall(temporary)
            path = str(Path(temporary) / folder)
            self._model: Any = coremltools.models.MLModel(path, compute_units=coremltools.ComputeUnit.CPU_ONLY)

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        out = np.empty((len(inputs), self._classes), np.float32)
        for i in range(len(inputs)):
            out[i] = self._model.predict({self._input: inputs[i : i + 1].astype(self._type)})[self._output][0]
        return out


class CoremlExporter(ModelFileExporter):
    """Writes ``model.mlpackage.zip``, and opens it: in Core ML where that is, else in NumPy.

    Attributes:
        folder: what the file unpacks to.
        session: runs it in Core ML.
        evaluated_session: evaluates it in NumPy.
    """

    format = "coreml"
    folder = FOLDER
    filename = f"{FOLDER}.zip"
    session = CoremlSession
    evaluated_session = CoremlEvaluatedSession

    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file and what it stores; a float program, or one with a recurrence, is refused."""
        need_integers(program, format_name=self.format)
        need_no_recurrence(program, format_name=self.format)
        return write_program(program)

    def open(self, folder: Path, *, name: str) -> Session:  # noqa: ARG002 - files do not hold the name
        """Return a session on the file.

        Raises:
            BundleError: the file is missing, damaged, or has operators that understudy does not write.
        """
        path = folder / self.filename
        content = read_model_file(path)
        try:
            opened = self.session if sys.platform == "darwin" else self.evaluated_session
            return opened(content, folder=self.folder)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, DecodeError) as error:
            reason = " ".join(str(error).split())
            raise BundleError(
                f"a Core ML package must be complete and use known operators: received path={str(path)!r} ({reason}); "
                "copy or compress it again"
            ) from error
