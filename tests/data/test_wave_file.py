"""WAV files: widths, channels, rates, lengths, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from recordings import tone, write_wav
from understudy.data.wave_file import listen, read_sound, samples_of
from understudy.errors import InputError
from understudy.projections.log_mel import LogMel

LOG_MEL = LogMel(2048, 8000)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_every_width_gives_the_same_sound(tmp_path: Path, bits: int) -> None:
    sound = tone(440, seconds=0.256, rate=8000)
    write_wav(tmp_path / "a.wav", sound, rate=8000, bits=bits)
    found = samples_of(tmp_path / "a.wav", LOG_MEL)
    assert found.dtype == np.int16
    # half a step of the file, and half a step of the samples
    assert np.abs(found - 32768 * sound).max() <= 2.0 ** (15 - bits) * 2 + 1.5
    assert listen(tmp_path / "a.wav").seconds == 0.256


def test_extensible_headers_and_floats_are_read(tmp_path: Path) -> None:
    sound = tone(300, seconds=0.256, rate=8000)
    kind = (
        struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 24_000, 3, 24, 22, 24, 4) + b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    )
    steps = np.rint(sound * (2**23 - 1)).astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    write_chunks(tmp_path / "extensible.wav", (b"fmt ", kind), (b"data", steps))
    float_kind = struct.pack("<HHIIHH", 3, 1, 8000, 32_000, 4, 32)
    write_chunks(tmp_path / "float.wav", (b"fmt ", float_kind), (b"LIST", b"abcd"), (b"data", sound.astype("<f4").tobytes()))
    for name in ("extensible", "float"):
        assert np.abs(samples_of(tmp_path / f"{name}.wav", LOG_MEL) - 32768 * sound).max() <= 1


def write_chunks(path: Path, *chunks: tuple[bytes, bytes]) -> None:
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(content)) + content for name, content in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(300, seconds=0.256, rate=8000), tone(700, seconds=0.256, rate=8000)
    write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1), rate=8000)
    assert np.abs(samples_of(tmp_path / "a.wav", LOG_MEL) - 16384 * (left + right)).max() <= 1.5


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 48_000])
def test_another_rate_is_resampled_and_what_does_not_fit_is_filtered(tmp_path: Path, rate: int) -> None:
    low, high = tone(1000, seconds=0.4, rate=rate), tone(5200, seconds=0.4, rate=rate)
    wanted = 16384 * np.sin(2 * np.pi * 1000 * (np.arange(2048) + (3200 - 2048) // 2) / 8000)
    for name, sound in (("low", low), ("both", (low + high) / 2)):
        write_wav(tmp_path / f"{name}.wav", sound, rate=rate)
        found = samples_of(tmp_path / f"{name}.wav", LOG_MEL) * (2 if name == "both" else 1)
        assert np.abs(found - wanted).max() < 16384 * 0.02


def test_a_sound_is_cut_around_its_middle_or_padded_around_it(tmp_path: Path) -> None:
    for count in (1, 2047, 2048, 2049, 5000):
        sound = np.arange(1, count + 1) / 32767
        write_wav(tmp_path / "a.wav", sound, rate=8000)
        found = samples_of(tmp_path / "a.wav", LOG_MEL)
        first = (2048 - count) // 2
        wanted = np.zeros(2048)
        if count <= 2048:
            wanted[first : first + count] = np.arange(1, count + 1)
        else:
            wanted = np.arange(2048) + 1 + (count - 2048) // 2
        np.testing.assert_array_equal(found, wanted)


def whole(path: Path) -> bytes:
    write_wav(path, tone(440, seconds=0.1, rate=8000), rate=8000)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda good: good[:0], "the file is empty"),
        (lambda good: b"ID3" + good, "no WAV file"),
        (lambda good: good[:300], "EOF prematurely"),
        (lambda good: good[:30], "its header says what no recording can have"),
        (lambda good: good[:20] + b"\x02\0" + good[22:], "ADPCM"),
        (lambda good: good[:20] + b"\x55\0" + good[22:], "MPEGLAYER3"),
        (lambda good: good[:24] + struct.pack("<I", 7) + good[28:], "header is invalid"),
        (lambda good: good[:22] + b"\0\0" + good[24:], "its header says what no recording can have"),
    ],
)
def test_what_is_no_whole_recording_is_refused(tmp_path: Path, damage: object, reason: str) -> None:
    path = tmp_path / "a.wav"
    assert callable(damage)
    path.write_bytes(damage(whole(path)))
    with pytest.raises(ValueError, match=reason) as raised:
        listen(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"a recording is a whole WAV file .*: received file='.*a\.wav' \(.+\); save it anew"):
        read_sound(path, LOG_MEL)


def test_a_file_without_samples_or_with_an_absurd_rate_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "none.wav", np.zeros(0), rate=8000)
    with pytest.raises(ValueError, match="no samples"):
        listen(tmp_path / "none.wav")
    write_wav(tmp_path / "slow.wav", np.zeros(9), rate=7)
    with pytest.raises(ValueError, match="7 samples a second"):
        listen(tmp_path / "slow.wav")


def test_nan_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    kind = struct.pack("<HHIIHH", 3, 1, 8000, 32_000, 4, 32)
    write_chunks(tmp_path / "nan.wav", (b"fmt ", kind), (b"data", np.full(9, np.nan, "<f4").tobytes()))
    with pytest.raises(ValueError, match="NaN or infinity"):
        listen(tmp_path / "nan.wav")
    with pytest.raises(ValueError, match="No such file"):
        listen(tmp_path / "none.wav")


@pytest.mark.parametrize(("bits", "seconds"), [(16, 0.5), (24, 0.500125), (8, 0.500125)])
def test_a_recording_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, bits: int, seconds: float) -> None:
    write_wav(tmp_path / "whole.wav", tone(440, seconds=seconds, rate=8000), rate=8000, bits=bits)
    whole = (tmp_path / "whole.wav").read_bytes()
    header, samples = whole[:36], whole[44:]
    noted = b"LIST" + (4).to_bytes(4, "little") + b"INFO"  # as ffmpeg writes between the two
    streamed = header[:4] + b"\xff" * 4 + header[8:] + noted + b"data" + b"\xff" * 4 + samples
    (tmp_path / "streamed.wav").write_bytes(streamed)
    assert listen(tmp_path / "streamed.wav") == listen(tmp_path / "whole.wav")
    assert (samples_of(tmp_path / "streamed.wav", LOG_MEL) == samples_of(tmp_path / "whole.wav", LOG_MEL)).all()
