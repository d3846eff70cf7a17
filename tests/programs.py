"""Small integer programs with random weights, for tests of everything that executes or exports one."""

from __future__ import annotations

import numpy as np

from understudy.program.ops import (
    Concat,
    Linear,
    MaxPool,
    Node,
    Program,
    ProjectText,
    Quantization,
    Softmax,
    SumPool,
    Window,
)
from understudy.projections.text import FeatureGroup, TextProjection

SEQUENCE = TextProjection(groups=(FeatureGroup("character", 48),), max_bytes=64, max_words=16, seed=7)
UTTERANCE = TextProjection(
    groups=(FeatureGroup("character", 40), FeatureGroup("word", 16), FeatureGroup("skip0", 16), FeatureGroup("skip1", 8)),
    max_bytes=64,
    max_words=16,
    pooling="utterance",
    values="binary",
    seed=9,
)
TEXTS: tuple[str | bytes, ...] = (
    "",
    " ",
    "a",
    "Hello, World! what's up?",
    "move my meeting to friday at 7:30",
    "MOVE MY MEETING TO FRIDAY AT 7:30",
    "naïve café — schön, привет 你好",
    b"\xff\xfe broken \x80 utf-8 \xc3",
    b"nul\x00inside",
    "x" * 300,
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "\t tabs\nand\nlines ",
    "...!!!???",
)


def _linear(
    rng: np.random.Generator, source: str, target: str, shape: tuple[int, int], *, bits: int, per_channel: bool, relu: bool
) -> Linear:
    limit = 7 if bits == 4 else 127
    rows, _ = shape
    scale = rng.uniform(0.5, 1.5, rows if per_channel else 1) * 0.3 / limit
    return Linear(
        input=source,
        output=target,
        weight=rng.integers(-limit, limit + 1, shape).astype(np.int8),
        bias=None if relu else rng.integers(-500, 500, rows).astype(np.int32),
        relu=relu,
        bits=bits,
        per_channel=per_channel,
        weight_scale=scale.astype(np.float32),
    )


def sequence_program(*, bits: int = 8, per_channel: bool = True, classes: int = 7, width: int = 12, seed: int = 0) -> Program:
    """Per-token features, bottleneck, window of three, sum and max over tokens, classes."""
    rng = np.random.default_rng(seed)
    how = {"bits": bits, "per_channel": per_channel}
    nodes: tuple[Node, ...] = (
        ProjectText("bytes", "features", SEQUENCE),
        _linear(rng, "features", "tokens", (width, SEQUENCE.features), relu=True, **how),
        Window("tokens", "windows", 3),
        _linear(rng, "windows", "context", (width, 3 * width), relu=True, **how),
        MaxPool("context", "largest"),
        SumPool("context", "total", 0.25),
        Concat(("total", "largest"), "pooled"),
        _linear(rng, "pooled", "logits", (classes, 2 * width), relu=False, **how),
        Softmax("logits", "probabilities"),
    )
    context = Quantization(float(np.float32(0.031)), -128)
    quantization = {
        "features": Quantization(1.0, 0),
        "tokens": Quantization(float(np.float32(0.043)), -128),
        "windows": Quantization(float(np.float32(0.043)), -128),
        "context": context,
        "largest": context,
        "total": context,
        "pooled": context,
        "logits": Quantization(float(np.float32(0.07)), 5),
    }
    return Program(nodes, quantization)


def utterance_program(*, bits: int = 8, per_channel: bool = True, classes: int = 7, hidden: int = 20, seed: int = 0) -> Program:
    """Whole-utterance features of several types, one hidden layer, classes."""
    rng = np.random.default_rng(seed)
    how = {"bits": bits, "per_channel": per_channel}
    nodes: tuple[Node, ...] = (
        ProjectText("bytes", "features", UTTERANCE),
        _linear(rng, "features", "hidden", (hidden, UTTERANCE.features), relu=True, **how),
        _linear(rng, "hidden", "logits", (classes, hidden), relu=False, **how),
        Softmax("logits", "probabilities"),
    )
    quantization = {
        "features": Quantization(1.0, 0),
        "hidden": Quantization(float(np.float32(0.05)), -128),
        "logits": Quantization(float(np.float32(0.06)), -3),
    }
    return Program(nodes, quantization)
