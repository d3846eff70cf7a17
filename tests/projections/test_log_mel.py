"""Log-mel pictures: a scalar reference written from the text, nearness to the float computation, and sums that stay exact."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from understudy.projections.log_mel import BANDS, LogMel, frame_samples, pictures, thresholds

RATES = (4000, 8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)


def scalar_frame(x: list[int], rate: int) -> list[int]:
    """Return the 32 values of one frame, by spec/program.md 13, one number at a time."""
    size = len(x)
    table = [round(-127 * math.cos(2 * math.pi * j / size)) for j in range(size)]
    exponent = max(abs(value) for value in x).bit_length()

    def half_to_even(numerator: int, shift: int) -> int:
        return numerator << -shift if shift <= 0 else round(numerator / 2**shift)

    shift = exponent - 10 + int(math.log2(size))
    y = [half_to_even(x[i] * (127 + table[i]), shift) for i in range(size)]
    mel = [2595 * math.log10(1 + f / 700) for f in (50, rate / 2)]
    energy = [0] * BANDS
    for k in range(size // 2 + 1):
        cosine = sum(y[i] * table[k * i % size] for i in range(size))
        sine = sum(y[i] * table[(k * i + 3 * size // 4) % size] for i in range(size))
        assert max(abs(cosine), abs(sine)) < 2**24
        power = half_to_even(cosine, 14) ** 2 + half_to_even(sine, 14) ** 2
        place = 33 * (2595 * math.log10(1 + k * rate / size / 700) - mel[0]) / (mel[1] - mel[0]) - 1
        position = round(16 * min(max(place, -1), 32))
        for band in range(BANDS):
            energy[band] += max(0, 16 - abs(position - 16 * band)) * power
    assert max(energy) < 2**24
    parts = [round(1024 * 2 ** (j / 8)) for j in range(8)]
    counts = [sum(e * 1024 >= 2**i * u for i in range(4, 24) for u in parts) for e in energy]
    return [min(max(16 * exponent - 128 + count, 0), 255) for count in counts]


@settings(max_examples=12)
@given(st.sampled_from((4000, 8000)), st.integers(0, 15), st.integers(0, 2**32 - 1), st.booleans())
def test_a_scalar_reference_gives_the_same_values(rate: int, bits: int, seed: int, extreme: bool) -> None:
    rng = np.random.default_rng(seed)
    size = frame_samples(rate)
    x = rng.choice([-(2**bits), 2**bits - 1], size) if extreme else rng.normal(0, 2**bits / 3, size)
    x = np.clip(x, -32768, 32767).astype(np.int16)
    found = pictures(LogMel(size, rate), x[None])
    assert found.shape == (1, 1, BANDS, 1)
    assert found.ravel().tolist() == scalar_frame(x.tolist(), rate)


def float_log_mel(log_mel: LogMel, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Return ``8 log2`` of mel-weighted powers ``[frames, BANDS]``, with a Hann window, in floats."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(float) / 32768, log_mel.frame)[:: log_mel.hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(log_mel.frame) / log_mel.frame)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel = 2595 * np.log10(1 + np.arange(log_mel.bins) * log_mel.sample_rate / log_mel.frame / 700)
    low = 2595 * np.log10(1 + 50 / 700)
    place = (mel - low) * 33 / (mel[-1] - low) - 1
    weights = np.maximum(0, 1 - np.abs(place - np.arange(BANDS)[:, None]))
    loudness: npt.NDArray[np.float64] = 8 * np.log2(power @ weights.T + 1e-12)
    return loudness


def check_near(log_mel: LogMel, samples: npt.NDArray[np.int16], *, reach: float, steps: float) -> None:
    """Compare what lies less than ``reach`` below a frame's loudest band, and is not at an end of the scale.

    Weights are sixteenths, so what a band hears at its very edge differs most.
    """
    found = pictures(log_mel, samples[None])[0, :, :, 0].astype(float)
    wanted = float_log_mel(log_mel, samples)
    full_scale = 8 * np.log2((log_mel.frame / 4) ** 2)  # the float power of a sine of full scale
    heard = (wanted > wanted.max(axis=1, keepdims=True) - reach) & (found > 0) & (found < 255)
    assert heard.mean() > 0.01
    # a sine of full scale stands at 255.5
    differences = np.quantile(np.abs((found - (wanted - full_scale))[heard] - 255.5), [0.5, 0.95])
    assert differences[0] <= 0.6 * steps
    assert differences[1] <= steps


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("loudness", [30, 1000, 30_000])
def test_pictures_are_near_those_of_floats(rate: int, loudness: int) -> None:
    log_mel = LogMel(frame_samples(rate) * 16, rate)
    time = np.arange(log_mel.samples) / rate
    rng = np.random.default_rng(rate)
    for sound, steps in (
        (np.sin(2 * np.pi * 440 * time), 6),
        (np.sin(2 * np.pi * (200 * time + 2000 * time**2)), 6),
        (np.clip(rng.normal(0, 0.3, len(time)), -1, 1), 3),
    ):
        check_near(log_mel, np.rint(loudness * sound).astype(np.int16), reach=40, steps=steps)


@pytest.mark.parametrize("name", ["yes", "no", "noise"])
def test_pictures_of_speech_are_near_those_of_floats(shared_data: Path, name: str) -> None:
    rate, samples = wavfile.read(shared_data.parent / "models" / "tflite_micro" / f"{name}_1000ms.wav")
    check_near(LogMel(15_872, rate), samples[:15_872], reach=80, steps=4)


def test_silence_is_zero_and_twice_the_amplitude_is_sixteen_steps() -> None:
    log_mel = LogMel(1024, 8000)
    noise = np.random.default_rng(0).normal(0, 2000, 1024).astype(np.int16)
    assert pictures(log_mel, np.zeros((1, 1024), np.int16)).max() == 0
    once, twice = pictures(log_mel, np.stack([noise, 2 * noise])).astype(int)
    assert once.min() > 0
    assert (twice - once == 16).all()
    assert pictures(log_mel, np.zeros((0, 1024), np.int16)).shape == (0, 7, BANDS, 1)


@pytest.mark.parametrize("rate", [4000, 8000, 16_000])
def test_no_sound_can_leave_the_numbers_that_float32_holds(rate: int) -> None:
    """By norms: the largest sum of a row, and Parseval's theorem for the powers of a frame."""
    log_mel = LogMel(frame_samples(rate), rate)
    cosine = log_mel.cosine.astype(float)
    largest = 2.0**15 * (cosine + 127) * 2.0 ** (log_mel.frame_bits - 8 - 16) + 0.5
    assert 2**15 * (127 + 127) < 2**24  # a sample times the window
    angle = np.outer(np.arange(log_mel.frame), np.arange(log_mel.bins))
    # frequencies without a weight, the first and the last among them, count nowhere
    seen = log_mel.weights.sum(axis=0) > 0
    assert not seen[[0, -1]].any()
    parts = [cosine[(angle + turn) % log_mel.frame] for turn in (0, 3 * log_mel.frame // 4)]
    for part in parts:
        assert (largest @ np.abs(part)).max() < 2**24
    norm = np.linalg.norm(np.hstack([part[:, seen] for part in parts]), 2) * np.linalg.norm(largest) / 2.0**14
    assert 16 * (norm + 0.5 * (2 * seen.sum()) ** 0.5) ** 2 < 2**24
    assert thresholds().max() < 2**24
    assert (thresholds().astype(np.float32) == thresholds()).all()
    assert (np.diff(thresholds()) > 0).all()


@pytest.mark.parametrize("rate", RATES)
def test_tables_do_not_hang_on_a_last_digit(rate: int) -> None:
    """No value lies so near to a tie that another machine's sine or logarithm could round it otherwise."""
    log_mel = LogMel(frame_samples(rate), rate)
    exact = 127 * np.cos(2 * np.pi * np.arange(log_mel.frame) / log_mel.frame)
    mel = 2595 * np.log10(1 + np.arange(log_mel.bins) * rate / log_mel.frame / 700)
    low = 2595 * np.log10(1 + 50 / 700)
    places = 16 * np.clip((mel - low) * 33 / (mel[-1] - low) - 1, -1, 32)
    for values in (exact, places):
        assert (np.abs(values - np.floor(values) - 0.5) > 1e-7).all()
    assert (log_mel.weights.sum(axis=1) > 0).all()  # every band hears something
    assert np.array_equal(log_mel.cosine, np.roll(log_mel.cosine[::-1], 1))
    assert np.array_equal(log_mel.cosine, -np.roll(log_mel.cosine, log_mel.frame // 2))


def test_frames_are_the_nearest_power_of_two_to_32_milliseconds() -> None:
    assert [frame_samples(rate) for rate in RATES] == [128, 256, 256, 512, 512, 1024, 1024, 2048]
    log_mel = LogMel(8320, 8000)
    assert (log_mel.frames, log_mel.hop, log_mel.bins, log_mel.shape) == (64, 128, 129, (64, 32, 1))
    assert log_mel.seconds == 1.04
