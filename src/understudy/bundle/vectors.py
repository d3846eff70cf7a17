"""``vectors.npz``: synthetic inputs with the reference's answers, so that anyone can check a port; ``spec/bundle.md`` 4.

They are random words, bytes, pixels, numbers and samples from a seed, and never what a user brought.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from understudy.program.interpreter import Float32Array, Inputs, Int16Array, Scores, UInt8Array, run
from understudy.program.npz import read_npz
from understudy.program.ops import Image, Program, Sound, Standardize
from understudy.projections.log_mel import LogMel
from understudy.projections.text import encode

COUNT = 64
SEED = 20171016
"""Any fixed number; it is part of the format, so that two bundles with the same L hold the same texts."""
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_MARKS = ".,?!'-:;()\"/@#"
_BEYOND_ASCII = "éüñçßøåłжпривет你好東京مرحبا🙂"
INPUT_NAMES = {"int32": "bytes", "uint8": "pixels", "float32": "values", "int16": "samples"}
"""Type of the inputs to their name in model files, and of their array."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Vectors:
    """``inputs`` as programs read them, and what the interpreter answers to them.

    ``logit_scale`` is the width of one logit step.
    """

    inputs: Inputs
    scores: Scores
    logit_scale: float


def synthetic_texts(*, max_bytes: int, count: int = COUNT, seed: int = SEED) -> list[bytes]:
    """Return ``count`` texts: an empty one, one that is cut, half of random words, the rest of random bytes and marks."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list(_LETTERS), rng.integers(1, 11))) for _ in range(400)]
    texts: list[bytes] = [b"", " ".join(words).encode()[: 2 * max_bytes + 1]]
    while len(texts) < count:
        kind = len(texts) % 4
        chosen = [words[i] for i in rng.integers(0, len(words), rng.integers(1, 16))]
        if kind == 1:
            chosen = [w.capitalize() + str(rng.choice(list(_MARKS))) for w in chosen]
        elif kind == 2:
            chosen = [w + str(rng.choice(list(_BEYOND_ASCII))) + str(rng.integers(0, 1000)) for w in chosen]
        text = " ".join(chosen).encode()
        if kind == 3:
            text = rng.integers(0, 256, rng.integers(1, max_bytes + 1)).astype(np.uint8).tobytes()
        texts.append(text)
    return texts[:count]


def synthetic_images(shape: tuple[int, int, int], *, count: int = COUNT, seed: int = SEED) -> UInt8Array:
    """Return ``count`` images ``[count, H, W, C]``: a black and a white one, half of light blocks on black, the rest noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[0], images[1] = 0, 255
    for image in images[2 : count // 2]:
        for _ in range(4):
            top, left = (int(rng.integers(0, size)) for size in shape[:2])
            image[:top, :left] //= 2
            image[top:, left:] //= 4
    return images


def synthetic_sounds(log_mel: LogMel, *, count: int = COUNT, seed: int = SEED) -> Int16Array:
    """Return ``count`` sounds ``[count, samples]``: silence and a full square wave, then tones that rise and noise in turn.

    They are drawn as integers, so that every machine draws the same.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(log_mel.samples, dtype=np.int64)
    sounds = np.zeros((count, log_mel.samples), np.int16)
    sounds[1] = np.where(time // 16 % 2, 32767, -32768)
    for number in range(2, count):
        loudness = int(rng.integers(1, 2 ** int(rng.integers(2, 16))))
        if number % 2:
            sounds[number] = rng.integers(-loudness, loudness + 1, log_mel.samples)
            continue
        # a triangle wave whose phase, in 65536ths of a turn, moves faster and faster
        phase = (int(rng.integers(1, 16384)) * time + int(rng.integers(0, 4)) * time**2 // 2) % 65536
        sounds[number] = (np.abs(phase - 32768) - 16384) * loudness // 16384
    return sounds


def synthetic_numbers(source: Standardize, *, count: int = COUNT, seed: int = SEED) -> Float32Array:
    """Return ``count`` examples float32 ``[count, ...]``: the means, NaN alone, then numbers around the means.

    Every fourth of these has a tenth of its numbers far away, infinite or missing.
    """
    rng = np.random.default_rng(seed)
    deviation = 1 / np.where(source.multiplier > 0, source.multiplier, 1).astype(np.float64)
    numbers = rng.normal(0, 1.5, (count, *source.shape))
    odd = rng.choice(np.array([100.0, -100.0, np.inf, -np.inf, np.nan]), numbers.shape)
    wild = (rng.random(numbers.shape) < 0.1) & (np.arange(count) % 4 == 3).reshape(-1, *[1] * len(source.shape))
    values: Float32Array = (source.offset + deviation * np.where(wild, odd, numbers)).astype(np.float32)
    values[0], values[1] = source.offset, np.nan
    return values


def make_vectors(program: Program) -> Vectors:
    """Return the vectors of ``program``, an integer program."""
    source = program.source
    inputs: Inputs
    if isinstance(source, Image):
        inputs = synthetic_images(source.shape)
    elif isinstance(source, Sound):
        inputs = synthetic_sounds(source.log_mel)
    elif isinstance(source, Standardize):
        inputs = synthetic_numbers(source)
    else:
        max_bytes = source.projection.max_bytes
        inputs = encode(synthetic_texts(max_bytes=max_bytes), max_bytes=max_bytes)
    return Vectors(inputs, run(program, inputs), program.quantization[program.logits].scale)


def pack_vectors(vectors: Vectors) -> bytes:
    """Return the NPZ bytes of ``vectors``; the same vectors give the same bytes, because the members carry no time."""
    arrays = {
        INPUT_NAMES[vectors.inputs.dtype.name]: vectors.inputs,
        "logits": vectors.scores.logits,
        "probabilities": vectors.scores.probabilities,
        "logit_scale": np.float32(vectors.logit_scale),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(member, content.getvalue())
    return out.getvalue()


def unpack_vectors(content: bytes) -> Vectors:
    """Return the vectors in NPZ ``content``.

    Raises:
        ValueError: not such an archive.
    """
    try:
        arrays = read_npz(content)
        scores = Scores(arrays["logits"], arrays["probabilities"])
        name = next(name for name in ("values", "samples", "pixels", "bytes") if name in arrays or name == "bytes")
        return Vectors(arrays[name], scores, float(arrays["logit_scale"]))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"vectors.npz needs bytes, pixels, values or samples, logits, probabilities and logit_scale: {error}"
        ) from None
