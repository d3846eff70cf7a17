"""Answers of frozen teachers, kept on disk by content: the same teacher, examples and classes are never asked twice."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import SetupError
from understudy.files import write_bytes
from understudy.program.npz import UNREADABLE
from understudy.teachers.protocol import ExampleArray, Float32Array, Teacher, checked_logits

_FORMAT = b"understudy teacher logits 1"
CHUNK = 2048
"""Examples in one file: an interrupted job asks again for at most this many."""


@dataclass(frozen=True)
class CachedLogits:
    """A teacher's answers and where they come from.

    Attributes:
        values: float32 ``[examples, classes]``.
        computed: examples that the teacher was asked for.
        reused: examples whose answers were in the cache.
        rejected: cache files that were damaged; their examples were asked for again.
    """

    values: Float32Array
    computed: int
    reused: int
    rejected: tuple[str, ...]


def cached_logits(
    teacher: Teacher[Any],
    examples: Sequence[str] | ExampleArray,
    *,
    class_names: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> CachedLogits:
    """Return ``checked_logits`` of ``examples``, asking ``teacher`` only for chunks that ``folder`` does not hold.

    Args:
        teacher: a frozen teacher; its ``digest`` stands for everything it depends on.
        examples: texts, images or vectors; all of them must be covered.
        class_names: the classes, in the order of the columns.
        folder: made if it is missing.
        progress: called after every chunk with (examples done, all examples).

    Raises:
        InputError: an answer breaks a rule; see ``checked_logits``. Nothing wrong is ever stored.
        SetupError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"the cache folder must be a folder that can be written: received folder={str(folder)!r} ({error.strerror}); "
            "choose another output folder"
        ) from error
    digest = teacher.digest
    parts: list[Float32Array] = []
    computed, rejected = 0, []
    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        path = folder / f"{_key(digest, part, class_names)}.npz"
        values = _load(path, rows=len(part), classes=len(class_names))
        if values is None:
            if path.exists():
                rejected.append(path.name)
            values = checked_logits(teacher, part, len(class_names))
            write_bytes(path, _dump(values))
            computed += len(part)
        parts.append(values)
        if progress is not None:
            progress(start + len(part), len(examples))
    found = np.concatenate(parts) if parts else np.zeros((0, len(class_names)), np.float32)
    return CachedLogits(found, computed, len(examples) - computed, tuple(rejected))


def _key(digest: str, examples: Sequence[str] | ExampleArray, class_names: Sequence[str]) -> str:
    """Return the sha256 over the teacher's digest, the class names and the examples, each with its length."""
    key = hashlib.sha256(_FORMAT)
    _add(key, [digest])
    _add(key, class_names)
    if isinstance(examples, np.ndarray):
        key.update(repr(examples.shape).encode() + np.ascontiguousarray(examples).tobytes())
    else:
        _add(key, examples)
    return key.hexdigest()


def _add(key: hashlib._Hash, group: Sequence[str]) -> None:
    key.update(len(group).to_bytes(8, "little"))
    for item in group:
        content = item.encode("utf-8", "surrogateescape")
        key.update(len(content).to_bytes(8, "little") + content)


def _checksum(values: Float32Array) -> str:
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()


def _dump(values: Float32Array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, logits=values, checksum=np.array(_checksum(values)))
    return buffer.getvalue()


def _load(path: Path, *, rows: int, classes: int) -> Float32Array | None:
    """Return the logits in ``path``, or None where the file is missing or not what was written."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            values: Float32Array = archive["logits"]
            checksum = str(archive["checksum"])
    except UNREADABLE:
        return None
    if values.shape != (rows, classes) or values.dtype != np.float32 or _checksum(values) != checksum:
        return None
    return values
