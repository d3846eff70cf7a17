"""Tables of a flatbuffer by the numbers of their fields, for schemas whose generated code loads a compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

Field = int | tuple[str, Any]
"""The offset of what a field holds, or (type, value)."""


class FlatbufferTables:
    """Appends tables and vectors, and returns their offsets; ``finish`` returns the buffer."""

    def __init__(self) -> None:
        self._builder: Any = flatbuffers.Builder(4096)
        self._stored: dict[object, int] = {}

    def table(self, slots: int, fields: Mapping[int, Field], *, zeros: bool = False) -> int:
        """Append a table with ``slots`` fields.

        Args:
            slots: how many fields the table has.
            fields: number to field.
            zeros: numbers that are 0 take their bytes as every other does; else they take none.
        """
        build = self._builder
        build.ForceDefaults(zeros)
        build.StartObject(slots)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                getattr(build, f"Prepend{value[0]}Slot")(slot, value[1], 0)
            else:
                build.PrependUOffsetTRelativeSlot(slot, value, 0)
        found = int(build.EndObject())
        build.ForceDefaults(False)
        return found

    def once(self, key: object, create: Callable[[], int]) -> int:
        """Return what ``create`` appended when ``key`` was first asked for."""
        if key not in self._stored:
            self._stored[key] = create()
        return self._stored[key]

    def vector(self, values: npt.NDArray[Any]) -> int:
        """Return a vector of numbers; equal ones are stored once."""
        return self.once(("vector", values.dtype.str, values.tobytes()), lambda: int(self._builder.CreateNumpyVector(values)))

    def unsigned(self, values: Sequence[int]) -> int:
        """Return a vector of numbers of 32 bits."""
        return self.vector(np.asarray(values, np.uint32))

    def text(self, value: str) -> int:
        """Return a string; equal ones are stored once."""
        return int(self._builder.CreateSharedString(value))

    def offsets(self, offsets: Sequence[int]) -> int:
        """Append a vector of tables."""
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def finish(self, root: int, identifier: bytes) -> bytes:
        """Return the buffer."""
        self._builder.Finish(root, identifier)
        return bytes(self._builder.Output())
