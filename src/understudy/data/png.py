"""PNG pictures of 8 bits a channel to pixels, and no other picture format (ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.errors import InputError

UInt8Array = npt.NDArray[np.uint8]
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type to numbers a pixel: grey, RGB, palette, grey with alpha, RGB with alpha."""
_MOST_PIXELS = 4096 * 4096


def read_png(path: Path) -> UInt8Array:
    """Return the picture in ``path``, uint8 ``[H, W, 1]`` or ``[H, W, 3]``; transparency is dropped.

    Raises:
        InputError: no such file, not a whole PNG, or one with other than 8 bits a channel or with interlacing.
    """
    try:
        return _decode(path.read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, struct.error, zlib.error) as error:
        reason = str(error)
    raise InputError(
        f"a picture is a PNG of 8 bits a channel without interlacing: received file={str(path)!r} ({reason}); "
        "save it as one, or give an .npz of pixels"
    )


def _decode(content: bytes) -> UInt8Array:
    if not content.startswith(_SIGNATURE):
        raise ValueError("no PNG signature")
    at, data, palette = len(_SIGNATURE), b"", np.zeros((256, 3), np.uint8)
    header: tuple[int, ...] = ()
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        chunk = content[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", chunk)
        elif kind == b"PLTE":
            entries = np.frombuffer(chunk, np.uint8).reshape(-1, 3)
            palette[: len(entries)] = entries
        elif kind == b"IDAT":
            data += chunk
        elif kind == b"IEND":
            break
        at += 12 + size
    if not header:
        raise ValueError("no header")
    width, height, bits, colour, _, _, interlaced = header
    if bits != 8 or interlaced or colour not in _CHANNELS or not 0 < width * height <= _MOST_PIXELS:
        raise ValueError(f"bits={bits}, colour type {colour}, interlaced={interlaced}, {width} x {height}")
    channels = _CHANNELS[colour]
    expected = height * (1 + width * channels)
    raw = zlib.decompressobj().decompress(data, expected)
    if len(raw) != expected:
        raise ValueError("it is cut")
    pixels = _unfiltered(np.frombuffer(raw, np.uint8).reshape(height, -1), channels).reshape(height, width, channels)
    if colour == 3:
        return palette[pixels[..., 0]]
    return pixels[..., : 1 if channels < 3 else 3]


def _unfiltered(lines: UInt8Array, step: int) -> UInt8Array:
    """Return lines of bytes with section 9's filters undone; ``step`` is the bytes of a pixel."""
    out = np.zeros((len(lines), lines.shape[1] - 1 + step), np.int64)  # a pixel of zeros on the left
    above = np.zeros(out.shape[1], np.int64)
    for y, line in enumerate(lines):
        kind, row = int(line[0]), out[y]
        row[step:] = line[1:]
        if kind == 2:
            row[step:] = (row[step:] + above[step:]) & 255
        elif kind in (1, 3, 4):
            for x in range(step, len(row)):
                left, up, corner = int(row[x - step]), int(above[x]), int(above[x - step])
                guess = left if kind == 1 else (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
                row[x] = (row[x] + guess) & 255
        elif kind:
            raise ValueError(f"filter {kind}")
        above = row
    return out[:, step:].astype(np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))
