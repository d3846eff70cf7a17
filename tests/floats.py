"""What the formats in float are tested with: random programs, and what they must not do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from understudy.export.parity import verify_file
from understudy.export.protocol import Exporter, FloatSession
from understudy.formats import ISLAND_FORMATS
from understudy.program.curves import FUNCTIONS, table_of
from understudy.program.ops import Program, Quantization, Standardize
from understudy.program.pointwise import Lookup
from understudy.program.real import real_probabilities
from understudy.testing.formats import examples, opened
from understudy.testing.image_programs import branched_program, gated_program, image_program
from understudy.testing.programs import sequence_program, utterance_program
from understudy.testing.token_programs import token_program
from understudy.testing.vector_programs import seen_program, vector_program, window_program


def random_program(seed: int, *, tokens: bool) -> Program:
    """Return a program of any kind, of ``tokens`` too or not, with shapes, bits and scales that follow from ``seed``."""
    rng = np.random.default_rng(seed)
    bits, per_channel = int(rng.choice([4, 8])), bool(rng.integers(2))
    shape = (int(rng.integers(5, 16)), int(rng.integers(5, 16)), int(rng.integers(1, 4)))
    channels, width = int(rng.integers(1, 12)), int(rng.integers(3, 20))
    same = {"per_channel": per_channel, "seed": seed}
    kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    made = (
        lambda: sequence_program(bits=bits, width=width, **same),
        lambda: utterance_program(bits=bits, **same),
        lambda: image_program(shape=shape, bits=bits, channels=channels, kernel=kernel, stride=int(rng.integers(1, 3)), **same),
        lambda: branched_program(shape=shape, bits=bits, channels=channels, flat=bool(rng.integers(2)), **same),
        lambda: gated_program(shape=shape, channels=channels, **same),
        lambda: vector_program(inputs=int(rng.integers(1, 40)), bits=bits, width=width, bias=bool(rng.integers(2)), **same),
        lambda: window_program(shape=(int(rng.integers(8, 40)), shape[2]), bits=bits, channels=channels, **same),
        lambda: token_program(width=int(rng.integers(2, 12)), class_token=bool(rng.integers(2)), **same),
    )
    held = made if tokens else made[:-1]
    return held[seed % len(held)]()


def curved_program(word: str) -> Program:
    """Return a program whose logits are a curve of one ``word`` of its standardized numbers: unit weights, equal scales."""
    seen = seen_program()
    before, layer, softmax = seen.nodes
    curve = " ".join([*["x", "0.7", "2"][: FUNCTIONS[word][0]], word])
    target = Quantization(float(np.float32(0.05)), 0)
    lookup = Lookup("standardized", "curved", curve, table_of(curve, Standardize.quantization, target))
    scheme = {"standardized": Standardize.quantization, "curved": target, "logits": target}
    return Program((before, lookup, replace(layer, input="curved"), softmax), scheme)


def check_random_program(exporter: Exporter, seed: int, folder: Path) -> None:
    """A file in float answers as the program in real numbers."""
    program = random_program(seed, tokens=exporter.format in ISLAND_FORMATS)
    session, inputs = opened(exporter, program, folder), examples(program)[:40]
    assert isinstance(session, FloatSession)
    assert session.computes_in == "float32"
    found = verify_file(program, session, inputs)
    assert (found.verified, found.reason, found.agreement) == (True, None, 1.0)
    np.testing.assert_allclose(found.probabilities, real_probabilities(program, inputs), atol=2e-6)
