"""Write the golden vectors in ``vectors/`` with ``reference.py``: ``python spec/make_vectors.py``.

``mixer.json``: values of ``mix`` and coefficients. ``text.json``: the 256 codes, and for each text its bytes, tokens,
word digests and features. ``dense.json``: coefficients and bits. ``boxes.json``: boxes and signs. Byte-sized values are two
hexadecimal characters each; features are int8, row after row. ``envelope.json``: encrypted files with all their secrets, from
``reference_envelope.py``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import reference
import reference_envelope

VECTORS = Path(__file__).parent / "vectors"
SEEDS = (0, 1, 7, 0x9E3779B9, 0xFFFFFFFF)
MIXER_STREAMS = (0, 2, 6, 36, 64, 65, 68, 128, 129)
INDICES = (0, 1, 2, 167, 65535, 2**31, 2**32 - 1)

TEXTS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"a",
    b"A",
    b"z9",
    b"0123456789",
    b"hello world",
    b"Hello, World!",
    b"what's up?",
    b"move my meeting to friday at 7:30",
    b"MOVE MY MEETING TO FRIDAY AT 7:30",
    b"  two  spaces  and a trailing one ",
    b"\ttabs\nnewlines\r\nreturns\x0bfeeds\x0c",
    b"...!!!???",
    bytes(range(33, 48)),
    bytes(range(58, 65)),
    bytes(range(91, 97)),
    bytes(range(123, 127)),
    b"(a)[b]{c}<d>",
    b"e-mail: someone@example.org",
    b"https://example.org/a_b?c=d&e=%20#f",
    b"$1,234.56 + 7% = ~1.3e3",
    b"a b c d e f g h i j k l m n o p",
    b"x" * 100,
    b"ab" * 50,
    b"word" * 3 + b" " + b"word" * 4,
    b"the the the the the the the",
    "naïve café — schön".encode(),
    "ÄÖÜ äöü ß".encode(),
    "привет, как дела?".encode(),
    "你好世界 请把会议改到星期五".encode(),
    "مرحبا بالعالم".encode(),
    "नमस्ते दुनिया".encode(),
    "🙂🙃 ok 👍🏽".encode(),
    "no\u00a0break, zero\u200bwidth".encode(),
    "“what’s up”—he asked…".encode(),
    "¿qué tal? «bien»👍ok €5→a".encode(),
    b"\xe2 \xe2a\xe2bc\xe2def \xe2\xe2\xe2\xe2abcd 1\xe2.x2\xc2a\xf0bcdef",
    "ends in a symbol, cut: 01234567890123456789012345678901234567…".encode(),
    b"\xff\xfe broken \x80 utf-8 \xc3",
    b"\x7f delete \x1b[0m escape",
    b"nul\x00inside\x00",
    b"\x00\x00leading",
    bytes(range(1, 33)) + b"end",
    bytes(range(128, 192)),
    bytes(range(192, 256)),
    b"cut in the middle of a character: 01234567890123" + "é".encode() * 8,
)

TEXT_PROJECTIONS: tuple[dict[str, Any], ...] = (
    {"groups": [["character", 12]], "pooling": "word", "values": "count", "orders": [2, 3, 4, 5, 6], "seed": 1},
    {"groups": [["character", 10]], "pooling": "word", "values": "ternary", "orders": [1, 3, 8], "seed": 7},
    {"groups": [["character", 6], ["word", 7]], "pooling": "word", "values": "binary", "orders": [2, 4], "seed": 0},
    {"groups": [["word", 16]], "pooling": "word", "values": "ternary", "orders": [3], "seed": 0xFFFFFFFF},
    {"groups": [["character", 33]], "pooling": "utterance", "values": "count", "orders": [1, 2, 3, 4, 5, 6, 7, 8], "seed": 3},
    {
        "groups": [["word", 9], ["skip0", 8], ["character", 7], ["skip1", 6], ["skip2", 5]],
        "pooling": "utterance",
        "values": "count",
        "orders": [2, 3, 4, 5, 6],
        "seed": 0x9E3779B9,
    },
    {
        "groups": [["character", 8], ["word", 8], ["skip0", 8], ["skip1", 8], ["skip2", 8]],
        "pooling": "utterance",
        "values": "binary",
        "orders": [2, 3],
        "seed": 9,
    },
    {"groups": [["skip1", 12], ["skip0", 12]], "pooling": "utterance", "values": "ternary", "orders": [4], "seed": 5},
    {"groups": [["skip2", 20]], "pooling": "utterance", "values": "count", "orders": [2], "seed": 2, "max_words": 2},
)
LIMITS = {"max_bytes": 64, "max_words": 8}

DENSE_PROJECTIONS: tuple[dict[str, Any], ...] = (
    {"vectors": "sign", "functions": 8, "bits": 10, "seed": 1},
    {"vectors": "ternary", "functions": 8, "bits": 10, "seed": 1},
    {"vectors": "sign", "functions": 1, "bits": 1, "seed": 0},
    {"vectors": "ternary", "functions": 3, "bits": 7, "seed": 0xFFFFFFFF},
)

BOX_PROJECTIONS: tuple[tuple[tuple[int, int, int], int, list[int]], ...] = (
    ((8, 8, 1), 1, [*range(24)]),
    ((28, 28, 1), 7, [65535, 0, 4095, *range(100, 120)]),
    ((32, 24, 3), 0xFFFFFFFF, [*range(16)]),
    ((1, 40, 1), 0, [*range(16)]),
    ((7, 7, 12), 0x9E3779B9, [*range(30)]),
    ((1, 1, 1), 3, [0, 1, 65535]),
    ((64, 64, 3), 5, [9, 8, 7]),
)


def dense_inputs() -> list[list[int]]:
    """Return integer vectors of several lengths: zeros, one number, the ends of each integer type, and mixed values."""
    inputs = [[0] * 16, [1], [-1], [0, 0, 5], [127, -128] * 9, [255] * 31, [2**31 - 1, -(2**31), 2**31 - 1, 1]]
    for length, seed in ((16, 21), (49, 22), (784, 23)):
        inputs.append([reference.mix(seed, length, i) % 256 for i in range(length)])
        inputs.append([reference.mix(seed, length + 1, i) % 256 - 128 for i in range(length)])
    return inputs


def hexadecimal(values: list[int]) -> str:
    """Return int8 or uint8 values as two hexadecimal characters each."""
    return bytes(value % 256 for value in values).hex()


def mixer_vectors() -> list[dict[str, int]]:
    """Return ``mix`` and the coefficient for every seed, stream and index."""
    return [
        {
            "seed": seed,
            "stream": stream,
            "index": index,
            "mix": reference.mix(seed, stream, index),
            "coefficient": reference.coefficient(seed, stream, index),
        }
        for seed in SEEDS
        for stream in MIXER_STREAMS
        for index in INDICES
    ]


def text_vectors() -> dict[str, Any]:
    """Return codes, tokens, digests and features of all texts."""
    words = [reference.tokens(text, **LIMITS) for text in TEXTS]
    return {
        "codes": hexadecimal([reference.code(byte) for byte in range(256)]),
        "limits": LIMITS,
        "digest_seed": 1,
        "texts": [
            {
                "bytes": text.hex(),
                "tokens": [hexadecimal(token) for token in tokens],
                "digests": [hexadecimal(reference.digest(1, token)) for token in tokens],
            }
            for text, tokens in zip(TEXTS, words, strict=True)
        ],
        "projections": [
            {
                "settings": LIMITS | settings,
                "features": [
                    hexadecimal([v for row in reference.text_features(LIMITS | settings, text) for v in row]) for text in TEXTS
                ],
            }
            for settings in TEXT_PROJECTIONS
        ],
    }


def dense_vectors() -> dict[str, Any]:
    """Return the first coefficients of each projection and its bits, as a string of 0 and 1, for all inputs."""
    inputs = dense_inputs()
    return {
        "inputs": inputs,
        "projections": [
            {
                "settings": settings,
                "coefficients": [reference.dense_coefficient(settings["vectors"], settings["seed"], i) for i in range(64)],
                "bits": ["".join(map(str, reference.dense_bits(settings, x))) for x in inputs],
            }
            for settings in DENSE_PROJECTIONS
        ],
    }


def box_vectors() -> list[dict[str, Any]]:
    """Return the boxes of each projection, and its signs for dark, bright and mixed inputs."""
    vectors = []
    for shape, seed, rows in BOX_PROJECTIONS:
        count = shape[0] * shape[1] * shape[2]
        inputs = [[0] * count, [255] * count, [reference.mix(seed, count, i) % 256 for i in range(count)]]
        inputs.append([reference.mix(seed, count + 1, i) % 3 - 1 for i in range(count)])
        vectors.append(
            {
                "shape": shape,
                "seed": seed,
                "rows": rows,
                "boxes": [[reference.box(shape, seed, r, b) for b in (0, 1)] for r in rows],
                "input_streams": [None, None, count, count + 1],
                "signs": [hexadecimal(reference.box_signs(shape, seed, rows, x)) for x in inputs],
            }
        )
    return vectors


def envelope_vectors() -> list[dict[str, Any]]:
    """Return envelopes for one to three recipients, of contents that end in, at and behind a block."""

    def secret(*words: object) -> bytes:
        return hashlib.sha256(" ".join(map(str, words)).encode()).digest()

    vectors = []
    for length, recipients in ((0, 1), (1, 2), (16, 1), (31, 1), (32, 3), (33, 1), (500, 2)):
        privates = [secret("device", length, i) for i in range(recipients)]
        given = {
            "name": b"model.tflite" if length % 2 else b"model.bin",
            "digest": secret("digest", length),
            "ephemeral": secret("ephemeral", length),
            "content_key": secret("content key", length),
            "nonce": secret("nonce", length)[:12],
        }
        content = b"".join(secret("content", i) for i in range(16))[:length]
        publics = [reference_envelope.x25519(private, (9).to_bytes(32, "little")) for private in privates]
        made = reference_envelope.envelope(content, publics=publics, **given)
        fields = {key: value.hex() for key, value in given.items()} | {"name": given["name"].decode()}
        keys = {"privates": [p.hex() for p in privates], "publics": [p.hex() for p in publics]}
        vectors.append({**fields, **keys, "content": content.hex(), "envelope": made.hex()})
    return vectors


def all_vectors() -> dict[str, str]:
    """Return file name to content."""
    content = {
        "mixer.json": mixer_vectors(),
        "text.json": text_vectors(),
        "dense.json": dense_vectors(),
        "boxes.json": box_vectors(),
        "envelope.json": envelope_vectors(),
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in content.items()}


def main() -> None:
    """Write every file of ``vectors/``."""
    VECTORS.mkdir(exist_ok=True)
    for name, text in all_vectors().items():
        (VECTORS / name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
