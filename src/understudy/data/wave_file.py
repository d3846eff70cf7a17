"""WAV files to samples, read with SciPy, and the one rule by which they are brought to a rate and a length."""

from __future__ import annotations

import io
import math
import struct
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.data.read import check_is_file
from understudy.errors import InputError
from understudy.projections.log_mel import LogMel

Int16Array = npt.NDArray[np.int16]
Float64Array = npt.NDArray[np.float64]
ENDINGS = (".wav", ".wave")
LOWEST_RATE, HIGHEST_RATE = 1000, 384_000
"""Samples a second that a recording may have; others are damage."""
_FULL_SCALE = 32768
_SCALES = {"u1": 256.0, "i2": 1.0, "i4": 2.0**-16, "f4": float(_FULL_SCALE), "f8": float(_FULL_SCALE)}
"""Types of samples to what makes steps of 16-bit ones of them; 24 bits come as 32."""
_FIRST_CHUNK, _OPEN_LENGTH = 12, 0xFFFFFFFF
_SKIPPED = r"Chunk \(non-data\) not understood"


@dataclass(frozen=True)
class Heard:
    """How long a recording is, and its samples a second."""

    seconds: float
    sample_rate: int


def listen(path: Path) -> Heard:
    """Return what the recording in ``path`` is like.

    Raises:
        ValueError: why it cannot be used.
    """
    sample_rate, mono = _mono(path)
    return Heard(len(mono) / sample_rate, sample_rate)


def samples_of(path: Path, log_mel: LogMel) -> Int16Array:
    """Return the recording in ``path`` as int16 ``[samples]``.

    Channels are averaged. Another rate is resampled by SciPy's polyphase filter. A longer recording is cut around its middle,
    a shorter one stands in the middle of zeros.

    Raises:
        ValueError: why it cannot be used.
    """
    sample_rate, mono = _mono(path)
    if sample_rate != log_mel.sample_rate:
        from scipy.signal import resample_poly

        divisor = math.gcd(sample_rate, log_mel.sample_rate)
        mono = resample_poly(mono, log_mel.sample_rate // divisor, sample_rate // divisor)
    spare = len(mono) - log_mel.samples
    before, missing = max(spare, 0) // 2, max(-spare, 0)
    read = np.pad(mono[before : before + log_mel.samples], (missing // 2, missing - missing // 2))
    return np.clip(np.rint(read), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def read_sound(path: Path, log_mel: LogMel) -> Int16Array:
    """Return ``samples_of`` one recording that must be good.

    Raises:
        InputError: it cannot be used.
    """
    check_is_file(path)
    try:
        return samples_of(path, log_mel)
    except ValueError as error:
        raise InputError(f"{RULE}: received file={str(path)!r} ({error}); save it anew") from error


RULE = "a recording is a whole WAV file of PCM samples, 8, 16, 24 or 32 bits or float"
"""What every message about one begins with."""


def _mono(path: Path) -> tuple[int, Float64Array]:
    """Return the rate, and the mean of all channels in steps of 16-bit samples, float64 ``[samples]``."""
    from scipy.io import wavfile

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if not content:
        raise ValueError("the file is empty")
    if not (content.startswith((b"RIFF", b"RIFX", b"RF64")) and content[8:12] == b"WAVE"):
        raise ValueError("no WAV file")
    try:
        with warnings.catch_warnings():
            # a file that ends too early is a warning there
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings("ignore", _SKIPPED, wavfile.WavFileWarning)
            sample_rate, data = wavfile.read(io.BytesIO(_closed(content)))
    except (ArithmeticError, LookupError, MemoryError, TypeError, UnboundLocalError, struct.error) as error:
        raise ValueError("its header says what no recording can have") from error  # SciPy computes with it unchecked
    except (ValueError, OSError, Warning) as error:
        raise ValueError(textwrap.shorten(str(error), 160, placeholder=" ...") or "damaged") from error
    if not data.size:
        raise ValueError("no samples")
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"{sample_rate} samples a second")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise ValueError("NaN or infinity among its samples")
    scale = _SCALES.get(data.dtype.str[1:])
    if scale is None:
        raise ValueError(f"samples of type {data.dtype}")
    real = (data.astype(np.float64) - (128 if data.dtype == np.uint8 else 0)) * scale
    return int(sample_rate), real if real.ndim == 1 else real.mean(axis=1)


def _closed(content: bytes) -> bytes:
    """Return ``content`` with its lengths filled in where it was written to a pipe, which cannot go back to do so."""
    begin, frame_bytes = _FIRST_CHUNK, 1
    while content.startswith(b"RIFF") and begin + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, begin)
        if name == b"fmt " and begin + 22 <= len(content):
            [frame_bytes] = struct.unpack_from("<H", content, begin + 20)
        if name == b"data" and size == _OPEN_LENGTH:
            whole = len(content) - begin - 8
            whole -= whole % max(1, frame_bytes)  # a byte may follow that makes the length even
            riff, middle = struct.pack("<I", begin + whole), content[8 : begin + 4]
            return b"RIFF" + riff + middle + struct.pack("<I", whole) + content[begin + 8 : begin + 8 + whole]
        begin += 8 + size + size % 2
    return content
