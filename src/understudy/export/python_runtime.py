"""The functions that a Python model is made of: ``export/python.py`` copies those that a program needs into its file.

They follow ``spec/projection.md`` section 2 and ``spec/program.md``, whose numbers they cite, and take one text, image or
vector or sound at a time.
"""

from __future__ import annotations

import base64
import functools
import re
import string
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unpack(data: str, rows: int, columns: int, bits: int) -> tuple[Array, Any, Array]:
    """Return the weights [columns, rows], the biases [rows] or 0, and the scales of a layer."""
    raw = np.frombuffer(base64.b85decode("".join(data.split())), np.uint8)
    size = (rows * columns * bits + 7) // 8
    weight = raw[:size].view(np.int8)
    if bits == 4:
        weight = (np.stack([weight << 4, weight], 1).ravel() >> 4)[: rows * columns]
    numbers = raw[size:].view("<i4")
    biases = rows if len(numbers) > rows else 0
    return weight.reshape(rows, columns).T.astype(float), numbers[:biases] if biases else 0, numbers[biases:].view("<f4")


def mix(x: Array) -> Any:
    """Mix unsigned 32-bit integers (projection 1)."""
    x = x ^ x >> 16
    x = x * np.uint32(0x7FEB352D)
    x = x ^ x >> 15
    x = x * np.uint32(0x846CA68B)
    return x ^ x >> 16


@functools.cache
def coefficients(seed: int, stream: int, rows: int, columns: int) -> Array:
    """Return the numbers of a hash, in -8..7 (projection 1)."""
    start = mix(mix(np.array([seed], np.uint32)) + np.uint32(stream))
    values: Array = mix(start + np.arange(rows * columns, dtype=np.uint32)) >> 28
    table: Array = (values.astype(float) - 8).reshape(rows, columns)
    return table.T


def byte_codes() -> bytes:
    """Return the codes of all bytes: 0 separates, 1..32 is punctuation, the rest is of words and symbols (projection 2.1)."""
    codes = bytearray(128) + bytes(range(128, 256))
    for code, letter in enumerate(string.punctuation + string.digits + string.ascii_lowercase, 1):
        codes[ord(letter)] = codes[ord(letter.upper())] = code
    codes[0xC2] = codes[0xE2] = codes[0xF0] = 0
    return bytes(codes)


CODES = byte_codes()


def split(text: bytes, limit: int) -> list[bytes]:
    """Return the codes of the first tokens (projection 2.2)."""
    apart = re.sub(rb"(?s)(?<=\xe2..)", b" ", text)  # what follows a symbol of three bytes begins a token
    return re.findall(rb"[\x01-\x20]|[\x21-\xff]+", apart.translate(CODES))[:limit]


def digests(tokens: list[bytes], order: int, seed: int, stream: int) -> tuple[Array, Array]:
    """Return 8 digits for each n-gram, and where each token's n-grams begin (projection 2.3)."""
    lengths = [len(token) for token in tokens]
    ends = np.cumsum(lengths)
    owner = np.repeat(np.arange(len(tokens)), lengths)
    codes = np.frombuffer(b"".join(token + bytes(order) for token in tokens), np.uint8)
    codes = codes[(np.arange(ends[-1]) + owner * order)[:, None] + np.arange(order)]
    first = np.diff(owner, prepend=-1)[:, None] > 0
    inputs = np.hstack([codes >> 4, codes & 15, first, np.ones_like(first)])
    sums = inputs @ coefficients(seed, stream + order, 8, 2 * order + 2)
    return sums.astype(int) & 15, ends - lengths


def signs(digits: Array, features: int, seed: int, stream: int) -> Array:
    """Return +1 or -1 for each row of digits and each feature (projection 2.4)."""
    table = coefficients(seed, stream, features, digits.shape[1] + 1)
    sums: Array = (digits @ table[:-1] + table[-1]).astype(int)
    return 1 - 2 * (sums >> 3 & 1)


def project(text: bytes, groups: Any, orders: Any, words: int, seed: int) -> Array:
    """Return the sums of signs of each token [words, features] (projection 2.3 to 2.6)."""
    sums = np.zeros((words, sum(features for _, features in groups)), int)
    tokens = split(text, words)
    if not tokens:
        return sums
    digits, begin = digests(tokens, 4, seed, 32)
    word = np.add.reduceat(digits, begin) >> 2 & 15
    column = 0
    for kind, features in groups:
        group = sums[:, column : column + features]
        column += features
        if kind == "character":
            for order in orders:
                digits, begin = digests(tokens, order, seed, 0)
                group[: len(tokens)] += np.add.reduceat(signs(digits, features, seed, 64), begin)
        elif kind == "word":
            group[: len(tokens)] = signs(word, features, seed, 65)
        else:  # pairs of tokens with 0, 1 or 2 tokens between them
            gap = int(kind[-1]) + 1
            pairs = np.hstack([word[:-gap], word[gap:]])
            group[: len(pairs)] = signs(pairs, features, seed, 65 + gap)
    return sums


def boxes(x: Array, zero: int, packed: str, seed: int) -> Array:
    """Return +1 or -1 for each row of a projection by boxes; packed has the rows' numbers (projection 4)."""
    rows = np.frombuffer(base64.b85decode("".join(packed.split())), "<u2").astype(np.uint32)
    start = mix(mix(np.array([seed], np.uint32)) + np.uint32(130))
    numbers = start + rows[:, None, None] * 16 + np.arange(16, dtype=np.uint32).reshape(2, 8)
    tall, wide, top, left, channel = np.moveaxis(mix(numbers).astype(np.int64) >> 16, 2, 0)[:5]
    height, width, channels = x.shape
    tall, wide = (
        max(1, n // 9) + (u * (max(1, n // 9, 3 * n // 7) - max(1, n // 9) + 1) >> 16)
        for u, n in ((tall, height), (wide, width))
    )
    top, left, channel = top * (height - tall + 1) >> 16, left * (width - wide + 1) >> 16, channel * channels >> 16
    areas = np.pad(x - zero, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    below = areas[top + tall, left + wide, channel] - areas[top + tall, left, channel]
    sums = below - areas[top, left + wide, channel] + areas[top, left, channel]
    return np.where(sums[:, 0] > sums[:, 1], 1, -1)


def image(pixels: Array, shape: tuple[int, int, int]) -> Array:
    """Return an image as integers [height, width, channels]; a grey one may come without channels (program 9)."""
    data = np.asarray(pixels)
    if data.dtype != np.uint8 or data.shape not in (shape, shape[:2] if shape[2] == 1 else shape):
        raise ValueError(f"an image is uint8 {shape}: received {data.dtype} {data.shape}")
    return data.reshape(shape).astype(int)


def sound(samples: Array, count: int) -> Array:
    """Return the samples of a sound as numbers (program 13)."""
    data = np.asarray(samples)
    if data.dtype != np.int16 or data.shape != (count,):
        raise ValueError(f"a sound is int16 ({count},): received {data.dtype} {data.shape}")
    return data.astype(float)


def log_mel(samples: Array, frame: int, positions: list[int]) -> Array:
    """Return the picture of a sound, [frames, bands, 1], from -128 to 127 (program 13)."""
    halves = samples.reshape(-1, frame // 2)
    frames = np.hstack([halves[:-1], halves[1:]])
    exponent = (np.abs(frames).max(1, keepdims=True) >= 2.0 ** np.arange(16)).sum(1, keepdims=True)
    cosine = np.rint(-127 * np.cos(2 * np.pi * np.arange(frame) / frame))
    frames = np.rint(frames * (cosine + 127) * 2.0 ** (10 - exponent) / frame)
    angle = np.outer(np.arange(frame), np.arange(frame // 2 + 1))
    parts = [np.rint(frames @ cosine[(angle + turn) % frame] / 2.0**14) for turn in (0, 3 * frame // 4)]
    weights = np.clip(16 - np.abs(np.array(positions)[:, None] - 16 * np.arange(32)), 0, 16)
    energy = (parts[0] ** 2 + parts[1] ** 2) @ weights
    steps = np.outer(2.0 ** np.arange(4, 24), np.rint(1024 * 2.0 ** (np.arange(8) / 8)) / 1024).ravel()
    count = np.searchsorted(steps, energy, side="right")
    value: Array = np.clip(count + 16 * exponent - 128, 0, 255) - 128
    return value[..., None]


def numbers(text: str) -> Array:
    """Return float32 numbers in base 85."""
    return np.frombuffer(base64.b85decode("".join(text.split())), "<f4")


def standardize(values: Array, shape: tuple[int, ...], offset: Array, multiplier: Array) -> Array:
    """Return numbers in the units of the training data as integers; a window [T, C] becomes [T, 1, C] (program 14)."""
    data = np.asarray(values, np.float32)
    if data.shape != shape:
        raise ValueError(f"numbers have the shape {shape}: received {data.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        steps = (data - offset) * multiplier * np.float32(32)
    steps = np.clip(np.rint(np.where(np.isnan(steps), np.float32(0), steps)), -128, 127).astype(int)
    return steps if len(shape) == 1 else steps[:, None]


def requantize(total: Array, scale: Any, zero: int, low: int) -> Array:
    """Return the int8 value of a sum (program 2)."""
    value: Array = np.clip(np.rint(total.astype(np.float32) * np.float32(scale)) + zero, low, 127)
    return value


def linear(x: Array, layer: tuple[Array, Any, Array], zeros: tuple[int, int], low: int) -> Array:
    """Return a layer's output; zeros are the zero points of input and output (program 3)."""
    weight, bias, scale = layer
    return requantize((x - zeros[0]) @ weight + bias, scale, zeros[1], low)


def depthwise(x: Array, layer: tuple[Array, Any, Array], zeros: tuple[int, int], low: int) -> Array:
    """Return the output of a layer that keeps channels apart, of what ``places`` gives (program 11)."""
    weight, bias, scale = layer
    seen = (x - zeros[0]).reshape(*x.shape[:2], *weight.shape)
    return requantize((seen * weight).sum(2) + bias, scale, zeros[1], low)


def places(x: Array, kernel: tuple[int, int], stride: int, padding: tuple[int, int, int, int], zero: int) -> Array:
    """Return what each output of a convolution sees, [height, width, kernel places * channels] (program 10)."""
    top, left, bottom, right = padding
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=zero)
    height, width = ((padded.shape[axis] - kernel[axis]) // stride * stride + 1 for axis in (0, 1))
    seen = [padded[i : i + height : stride, j : j + width : stride] for i in range(kernel[0]) for j in range(kernel[1])]
    return np.concatenate(seen, axis=2)


def table(text: str) -> Array:
    """Return what a lookup makes of -128, -127, ... (program 19)."""
    return np.frombuffer(base64.b85decode("".join(text.split())), np.int8).astype(int)


def scan(x: Array) -> Array:
    """Return the states of gates and candidates [steps, 1, 2 * columns], after each step (program 21)."""
    gates, candidates = np.split(x.astype(float), 2, -1)
    state, states = np.zeros(gates.shape[1:]), []
    for step, inflow in enumerate(gates + 128):
        state = np.floor(inflow * candidates[step] + (256 - inflow) / 256 * state + 0.5)
        states.append(np.floor(state / 256 + 0.5))
    return np.array(states)


def window(x: Array, width: int, zero: int) -> Array:
    """Return each row beside its neighbours (program 4)."""
    before = (width - 1) // 2
    padded = np.pad(x, ((before, width - 1 - before), (0, 0)), constant_values=zero)
    return np.hstack([padded[i : i + len(x)] for i in range(width)])


def softmax(logits: Array, scale: float) -> Array:
    """Return probabilities (program 8)."""
    powers = np.exp((logits - logits.max()).astype(float) * float(np.float32(scale)))
    probabilities: Array = (powers / powers.sum()).astype(np.float32)
    return probabilities
