"""PNG files written here by the standard's rules, with every filter, read back."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from understudy.data.png import read_png
from understudy.errors import InputError


def _filtered(pixels: np.ndarray, kind: int) -> bytes:
    """Return the lines of ``pixels`` ``[H, W, C]``, each with filter ``kind``, one byte at a time."""
    height, _, channels = pixels.shape
    lines = pixels.reshape(height, -1).astype(int)
    out = b""
    for y, line in enumerate(lines):
        row = []
        for x, value in enumerate(line):
            left = int(line[x - channels]) if x >= channels else 0
            up = int(lines[y - 1][x]) if y else 0
            corner = int(lines[y - 1][x - channels]) if y and x >= channels else 0
            p = left + up - corner
            nearest = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            guess = (0, left, up, (left + up) // 2, nearest)[kind]
            row.append((value - guess) % 256)
        out += bytes([kind, *row])
    return out


def png(pixels: np.ndarray, *, colour: int, kind: int = 0, bits: int = 8, palette: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, _ = pixels.shape
    data = zlib.compress(_filtered(pixels, kind))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"IDAT", data[:20]),
            chunk(b"IDAT", data[20:]),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(("colour", "channels", "kept"), [(0, 1, 1), (2, 3, 3), (4, 2, 1), (6, 4, 3)])
def test_every_filter_and_colour_type(kind: int, colour: int, channels: int, kept: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(kind).integers(0, 256, (7, 6, channels)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels, colour=colour, kind=kind))
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), pixels[..., :kept])


def test_a_palette(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [9, 8, 7], [255, 0, 1]], np.uint8)
    index = np.random.default_rng(0).integers(0, 3, (4, 5, 1)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(index, colour=3, palette=colours.tobytes()))
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), colours[index[..., 0]])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GIF89a", "no PNG signature"),
        (png(np.zeros((4, 4, 1), np.uint8), colour=0)[:60], "received file="),
        (png(np.zeros((4, 4, 1), np.uint8), colour=0, bits=16), "bits=16"),
        (None, "No such file"),
    ],
)
def test_other_files_are_refused_in_one_line(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_png(tmp_path / "a.png")
    assert "\n" not in str(caught.value)
