"""What a format must offer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from understudy.program.interpreter import Inputs
from understudy.program.ops import Program

__all__ = [
    "EvaluatedSession",
    "Exporter",
    "Float32Array",
    "FloatSession",
    "Inputs",
    "MemoryExporter",
    "Session",
    "ThreadedExporter",
    "input_bytes",
    "why_not_run",
]

Float32Array = npt.NDArray[np.float32]


def input_bytes(inputs: Inputs) -> bytes:
    """Return ``inputs`` one after the other as another process reads them: of texts a byte for each, else as they are."""
    return (inputs.astype(np.uint8) if inputs.dtype == np.int32 else inputs).tobytes()


class Session(Protocol):
    """One exported file, loaded in its own runtime, single-threaded."""

    runtime: str
    """Name and version of what executes the file, for example ``onnxruntime 1.31.1``."""

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        ...


@runtime_checkable
class EvaluatedSession(Protocol):
    """A session that computes what its file says without the runtime that devices have: no such file is called verified."""

    not_run: str
    """Why the runtime is not here, and what computed the answers; the reason beside ``verified: false``."""


@runtime_checkable
class FloatSession(Protocol):
    """A session on a file in float: it is compared with the program in real numbers, within a tolerance; spec/program.md 27."""

    computes_in: str
    """The type of its tensors, such as ``float32``."""


def why_not_run(session: Session) -> str | None:
    """Return why the file of ``session`` was not run in its own runtime; None where it was."""
    return session.not_run if isinstance(session, EvaluatedSession) else None


class Exporter(Protocol):
    """One file format.

    Implementers: ``export`` is a pure function of its arguments (same program, same bytes); ``byte_table`` adds up to
    exactly what counts against a budget, and depends on shapes alone; ``open`` refuses a damaged file with a BundleError.
    ``understudy.testing`` has the tests that every format passes.
    """

    format: str
    """The word in ``--format``."""
    filename: str
    """The model file inside a bundle."""

    def export(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return file name to content: the model file, and what else the format needs to be used alone.

        Args:
            program: an integer program.
            name: stem of what the file calls itself, where the format has such names.
            labels: class names in the order of the scores, for formats whose files hold them.
        """
        ...

    def byte_table(self, program: Program, *, name: str, labels: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Return (where, bytes) rows that add up to what counts against a budget."""
        ...

    def open(self, folder: Path, *, name: str) -> Session:
        """Return a session on the model file in ``folder``."""
        ...


@runtime_checkable
class MemoryExporter(Protocol):
    """A format whose runtime takes a model file from memory, so that an encrypted one never lies decrypted on a disk."""

    def open_content(self, content: bytes, *, path: Path) -> Session:
        """Return a session on the model file ``content``, which messages call ``path``."""
        ...


@runtime_checkable
class ThreadedExporter(Protocol):
    """A format whose runtime can use several threads for one input."""

    def open(self, folder: Path, *, name: str, threads: int = 1) -> Session:
        """Return a session on the model file in ``folder`` that runs on ``threads`` threads."""
        ...
