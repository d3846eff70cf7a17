"""Projections as ``projection.md`` gives them, one number at a time, in plain integers: the source of the golden vectors.

Written from the text alone. It shares no line with the package, and clarity goes before speed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

ALPHABET = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~0123456789abcdefghijklmnopqrstuvwxyz"


def lowbias(x: int) -> int:  # 1
    x ^= x >> 16
    x = (x * 0x7FEB352D) % 2**32
    x ^= x >> 15
    x = (x * 0x846CA68B) % 2**32
    return x ^ (x >> 16)


@cache
def mix(seed: int, stream: int, index: int) -> int:  # 1
    return lowbias((lowbias((lowbias(seed % 2**32) + stream) % 2**32) + index) % 2**32)


def coefficient(seed: int, stream: int, index: int) -> int:  # 1
    return (mix(seed, stream, index) >> 28) - 8


def code(byte: int) -> int:  # 2.1
    if byte >= 128:
        return 0 if byte in (194, 226, 240) else byte
    return 1 + ALPHABET.find(chr(byte).lower())


def tokens(text: bytes, *, max_bytes: int, max_words: int) -> list[list[int]]:  # 2.2
    found: list[list[int]] = [[]]
    for at, value in enumerate(code(byte) for byte in text[:max_bytes]):
        if at >= 3 and text[at - 3] == 226:
            found.append([])
        if value <= 32:
            found += [[value], []] if value else [[]]
        else:
            found[-1].append(value)
    return [token for token in found if token][:max_words]


def first_level(seed: int, stream: int, m: int, token: list[int], t: int) -> list[int]:  # 2.3
    v = [token[t + i] if t + i < len(token) else 0 for i in range(m)]
    inputs = [x >> 4 for x in v] + [x & 15 for x in v] + [int(t == 0), 1]
    return [sum(coefficient(seed, stream, j * (2 * m + 2) + k) * x for k, x in enumerate(inputs)) % 16 for j in range(8)]


def sign(seed: int, stream: int, p: int, digits: list[int]) -> int:  # 2.4
    n = len(digits) + 1
    return 1 if sum(coefficient(seed, stream, p * n + j) * x for j, x in enumerate([*digits, 1])) % 16 < 8 else -1


def digest(seed: int, token: list[int]) -> list[int]:  # 2.5
    windows = [first_level(seed, 36, 4, token, t) for t in range(len(token))]
    return [(sum(column) >> 2) % 16 for column in zip(*windows, strict=True)]


def token_row(settings: dict[str, Any], kind: str, features: int, token: list[int]) -> list[int]:  # 2.4, 2.5
    seed = settings["seed"]
    hashes = [first_level(seed, m, m, token, t) for m in settings["orders"] for t in range(len(token))]
    stream, inputs = (65, [digest(seed, token)]) if kind == "word" else (64, hashes)
    return [sum(sign(seed, stream, p, h) for h in inputs) for p in range(features)]


def pair_row(seed: int, gap: int, features: int, words: list[list[int]]) -> list[int]:  # 2.6
    pairs = [a + b for a, b in zip(words, words[gap + 1 :], strict=False)]
    return [sum(sign(seed, 66 + gap, p, pair) for pair in pairs) for p in range(features)]


def clamp(values: str, z: int) -> int:  # 2.7
    return {"count": max(-128, min(127, z)), "ternary": max(-1, min(1, z)), "binary": 1 if z >= 0 else -1}[values]


def text_features(settings: dict[str, Any], text: bytes) -> list[list[int]]:  # 2.7: W rows, with utterance pooling one
    words = tokens(text, max_bytes=settings["max_bytes"], max_words=settings["max_words"])
    rows: list[list[int]] = [[] for _ in range(settings["max_words"] if settings["pooling"] == "word" else 1)]
    for kind, features in settings["groups"]:
        if kind.startswith("skip"):
            table = [pair_row(settings["seed"], int(kind[4:]), features, [digest(settings["seed"], w) for w in words])]
        else:
            table = [token_row(settings, kind, features, w) for w in words] + [[0] * features] * len(rows)
        if settings["pooling"] == "utterance":
            table = [[sum(column) for column in zip(*table, strict=True)]]
        rows = [row + [clamp(settings["values"], z) for z in sums] for row, sums in zip(rows, table, strict=False)]
    return rows


def dense_coefficient(vectors: str, seed: int, index: int) -> int:  # 3.1
    if vectors == "sign":
        return -1 if mix(seed, 128, index) >= 2**31 else 1
    return {0: 1, 1: -1}.get((6 * (mix(seed, 129, index) >> 16)) >> 16, 0)


def dense_bits(settings: dict[str, Any], x: list[int]) -> list[int]:  # 3.2
    vectors, seed, rows = settings["vectors"], settings["seed"], settings["functions"] * settings["bits"]
    return [int(sum(dense_coefficient(vectors, seed, r * len(x) + i) * v for i, v in enumerate(x)) > 0) for r in range(rows)]


def box(shape: tuple[int, int, int], seed: int, r: int, b: int) -> list[int]:  # 4.1: top, left, height, width, channel
    u = [mix(seed, 130, r * 16 + b * 8 + f) >> 16 for f in range(5)]
    least = [max(1, n // 9) for n in shape]
    sides = [least[f] + (u[f] * (max(least[f], 3 * shape[f] // 7) - least[f] + 1) >> 16) for f in (0, 1)]
    return [*(u[2 + f] * (shape[f] - sides[f] + 1) >> 16 for f in (0, 1)), *sides, u[4] * shape[2] >> 16]


def box_sum(shape: tuple[int, int, int], x: list[int], place: list[int]) -> int:  # 4.2
    top, left, height, width, channel = place
    return sum(x[(i * shape[1] + j) * shape[2] + channel] for i in range(top, top + height) for j in range(left, left + width))


def box_signs(shape: tuple[int, int, int], seed: int, rows: list[int], x: list[int]) -> list[int]:  # 4.2
    return [1 if box_sum(shape, x, box(shape, seed, r, 0)) > box_sum(shape, x, box(shape, seed, r, 1)) else -1 for r in rows]
