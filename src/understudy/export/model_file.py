"""What the graph formats share about their one file: writing it, reading it, and where its bytes went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from understudy.errors import BundleError
from understudy.export.box_graph import CONSTANTS
from understudy.export.text_graph import TABLES
from understudy.program.ops import Program, ProjectBoxes, ProjectText, Sound
from understudy.program.tokens import Positions
from understudy.projections.log_mel import LOG_MEL


class ModelFileExporter(ABC):
    """An exporter of one file in which neither the model's name nor its labels occur.

    Attributes:
        filename: of that file.
    """

    filename: str

    @abstractmethod
    def written(self, program: Program) -> tuple[bytes, dict[str, int]]:
        """Return the file of an integer ``program``, and owners of numbers in it to their bytes.

        Raises:
            InputError: a program that the format does not hold.
        """

    def export(
        self,
        program: Program,
        *,
        name: str,  # noqa: ARG002 - files do not hold it
        labels: Sequence[str] | None = None,  # noqa: ARG002 - nor these
    ) -> dict[str, bytes]:
        """Return the file.

        Raises:
            InputError: a program that the format does not hold.
        """
        return {self.filename: self.written(program)[0]}

    def byte_table(
        self,
        program: Program,
        *,
        name: str,  # noqa: ARG002 - files do not hold it
        labels: Sequence[str] | None = None,  # noqa: ARG002 - nor these
    ) -> list[tuple[str, int]]:
        """Return rows for the projection, each layer and the rest; they add up to the file's length.

        Raises:
            InputError: a program that the format does not hold.
        """
        return _byte_rows(program, *self.written(program))


def read_model_file(path: Path) -> bytes:
    """Return the content of ``path``.

    Raises:
        BundleError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"a model file must be readable: received path={str(path)!r} ({error.strerror}); copy or compress it again"
        ) from error


def _byte_rows(program: Program, content: bytes, stored_bytes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return (where, bytes) for a projection or a log-mel picture, tables, each layer and the rest; they add up to its length.

    Args:
        program: what the file was written from.
        content: the file.
        stored_bytes: owner of numbers in the file to their bytes.
    """
    projecting: tuple[str, ...] = (CONSTANTS, TABLES) if isinstance(program.source, ProjectText) else ()
    if any(isinstance(node, ProjectBoxes) for node in program.nodes):
        projecting = (CONSTANTS,)
    if isinstance(program.source, Sound):
        projecting = (LOG_MEL,)
    tables = (node.output for node in program.nodes if isinstance(node, Positions))
    owners = (*projecting, *tables, *(node.output for node in program.layers))
    rows = [(owner, stored_bytes.get(owner, 0)) for owner in owners]
    return [*rows, ("operators and tensors", len(content) - sum(size for _, size in rows))]
