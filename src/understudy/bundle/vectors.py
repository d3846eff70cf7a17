"""``vectors.npz``: synthetic inputs with the reference's answers, so that anyone can check a port; ``spec/bundle.md`` 4.

They are random words, bytes and pixels from a seed, and never what a user brought.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from understudy.program.interpreter import Inputs, Scores, UInt8Array, run
from understudy.program.npz import read_npz
from understudy.program.ops import Image, Program
from understudy.projections.text import encode

COUNT = 64
SEED = 20171016
"""Any fixed number; it is part of the format, so that two bundles with the same L hold the same texts."""
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_MARKS = ".,?!'-:;()\"/@#"
_BEYOND_ASCII = "éüñçßøåłжпривет你好東京مرحبا🙂"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Vectors:
    """``inputs`` int32 ``[n, max_bytes]`` or uint8 ``[n, H, W, C]``, and what the interpreter answers to them.

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


def make_vectors(program: Program) -> Vectors:
    """Return the vectors of ``program``, an integer program."""
    source = program.source
    inputs: Inputs
    if isinstance(source, Image):
        inputs = synthetic_images(source.shape)
    else:
        max_bytes = source.projection.max_bytes
        inputs = encode(synthetic_texts(max_bytes=max_bytes), max_bytes=max_bytes)
    return Vectors(inputs, run(program, inputs), program.quantization[program.logits].scale)


def pack_vectors(vectors: Vectors) -> bytes:
    """Return the NPZ bytes of ``vectors``; the same vectors give the same bytes, because the members carry no time."""
    arrays = {
        ("pixels" if vectors.inputs.dtype == np.uint8 else "bytes"): vectors.inputs,
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
        return Vectors(arrays["pixels" if "pixels" in arrays else "bytes"], scores, float(arrays["logit_scale"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"vectors.npz needs bytes or pixels, logits, probabilities and logit_scale: {error}") from None
