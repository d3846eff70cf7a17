"""Reads NPZ bytes that may hold anything: no pickle, nothing larger than what is stored, one kind of error."""

from __future__ import annotations

import io
import lzma
import math
import tokenize
import zipfile
import zlib

import numpy as np

LARGEST_BYTES = 1024**3
"""Arrays are small here; more is damage, or an attack on the memory."""
UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,  # an encrypted member
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged NPZ or NPY raises."""


def read_npz(content: bytes) -> dict[str, np.ndarray]:
    """Return name to array.

    Raises:
        ValueError: not an NPZ file, or one of objects, or one that claims more than it holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
                raise ValueError(f"at most {LARGEST_BYTES} bytes of arrays")
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except UNREADABLE as error:
        raise ValueError(f"an NPZ file holds arrays: {type(error).__name__}: {error}") from None


def _array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another version of NPY")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    stored = content[stream.tell() :]
    if dtype.hasobject or dtype.itemsize * math.prod(shape) != len(stored):
        raise ValueError("an array of objects, or of another size than its header says")
    return np.frombuffer(stored, dtype).reshape(shape, order="F" if fortran_order else "C").copy()
