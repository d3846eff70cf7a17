"""``model.mlpackage``: a folder with a model, its weights and a list of both, here in one ZIP file without compression.

A bundle's files have plain names, and a package is three files in folders: unpacked, Xcode takes it as it is.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

FOLDER = "model.mlpackage"
WEIGHTS_NAME = "@model_path/weights/weight.bin"
"""What a model calls the file of its weights."""
_MODEL = "Data/com.apple.CoreML/model.mlmodel"
_WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_IDENTIFIERS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
"""Any two: what a package lists has an identifier, and the same program gives the same bytes."""

_ALIGNMENT = 64
_VERSION = 2
_SENTINEL = 0xDEADBEEF
_KINDS: Mapping[int, type[np.generic]] = {2: np.float32, 3: np.uint8, 4: np.int8}
"""Numbers of the element types in a file of weights."""
_NUMBERS = {np.dtype(kind): number for number, kind in _KINDS.items()}


class WeightsWriter:
    """A file of weights: a header with their count, then for each a record and its values, all at multiples of 64 bytes."""

    def __init__(self) -> None:
        self._content = bytearray(_ALIGNMENT)
        self._count = 0

    def add(self, values: Array) -> int:
        """Append ``values`` and return the offset of their record."""
        record, begin = len(self._content), len(self._content) + _ALIGNMENT
        data = np.ascontiguousarray(values).tobytes()
        self._content += struct.pack("<IIQQQ32x", _SENTINEL, _NUMBERS[values.dtype], len(data), begin, 0)
        self._content += data + bytes(-len(data) % _ALIGNMENT)
        self._count += 1
        return record

    def finish(self) -> bytes:
        """Return the file."""
        self._content[:8] = struct.pack("<II", self._count, _VERSION)
        return bytes(self._content)


def read_weights(content: bytes, offset: int) -> Array:
    """Return the values, one axis, whose record begins at ``offset``.

    Raises:
        ValueError: there is no such record, or it reaches beyond the end.
    """
    if not 0 <= offset <= len(content) - _ALIGNMENT:
        raise ValueError(f"no weights at {offset}")
    sentinel, number, size, begin, _ = struct.unpack_from("<IIQQQ", content, offset)
    if sentinel != _SENTINEL or number not in _KINDS or begin + size > len(content):
        raise ValueError(f"no weights at {offset}")
    values: Array = np.frombuffer(content[begin : begin + size], _KINDS[number])
    return values


def pack(model: bytes, weights: bytes, *, folder: str = FOLDER) -> bytes:
    """Return the ZIP file of a package, which unpacks to ``folder``."""
    entries = (("model.mlmodel", "Model Specification", "model.mlmodel"), ("weights", "Model Weights", "weights"))
    listed = {
        identifier: {
            "author": "com.apple.CoreML",
            "description": f"CoreML {description}",
            "name": name,
            "path": f"com.apple.CoreML/{path}",
        }
        for identifier, (name, description, path) in zip(_IDENTIFIERS, entries, strict=True)
    }
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": listed, "rootModelIdentifier": _IDENTIFIERS[0]}
    files = {"Manifest.json": json.dumps(manifest, separators=(",", ":")).encode(), _MODEL: model, _WEIGHTS: weights}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, content in files.items():
            member = zipfile.ZipInfo(f"{folder}/{path}", date_time=_EPOCH)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    return out.getvalue()


def unpack(content: bytes, *, folder: str = FOLDER) -> tuple[bytes, bytes]:
    """Return model and weights of a package that unpacks to ``folder``.

    Raises:
        ValueError: it is damaged, or another one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(f"{folder}/{_MODEL}"), archive.read(f"{folder}/{_WEIGHTS}")
    except (KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from None
