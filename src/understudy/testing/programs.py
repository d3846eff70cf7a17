"""Small integer programs with random weights, and odd texts, for tests of everything that executes or exports one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from understudy.program.ops import (
    WEIGHT_LIMIT,
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
    "“what’s up”—he asked… 👍ok ¿qué? €5→a",
    b"\xe2 \xe2a\xe2bc\xe2def \xe2\xe2\xe2\xe2abcd 1\xe2.x2\xc2a\xf0bcdef",
)


@dataclass(frozen=True)
class Weights:
    """How the weights of a layer are stored."""

    bits: int
    per_channel: bool


def _linear(rng: np.random.Generator, source: str, target: str, shape: tuple[int, int], *, how: Weights, relu: bool) -> Linear:
    limit = WEIGHT_LIMIT[how.bits]
    rows, _ = shape
    scale = rng.uniform(0.5, 1.5, rows if how.per_channel else 1) * 0.3 / limit
    return Linear(
        input=source,
        output=target,
        weight=rng.integers(-limit, limit + 1, shape).astype(np.int8),
        bias=None if relu else rng.integers(-500, 500, rows).astype(np.int32),
        relu=relu,
        bits=how.bits,
        per_channel=how.per_channel,
        weight_scale=scale.astype(np.float32),
    )


def sequence_program(*, bits: int = 8, per_channel: bool = True, classes: int = 7, width: int = 12, seed: int = 0) -> Program:
    """Per-token features, bottleneck, window of three, sum and max over tokens, classes."""
    rng = np.random.default_rng(seed)
    how = Weights(bits, per_channel)
    nodes: tuple[Node, ...] = (
        ProjectText("bytes", "features", SEQUENCE),
        _linear(rng, "features", "tokens", (width, SEQUENCE.features), how=how, relu=True),
        Window("tokens", "windows", 3),
        _linear(rng, "windows", "context", (width, 3 * width), how=how, relu=True),
        MaxPool("context", "largest"),
        SumPool("context", "total", 0.25),
        Concat(("total", "largest"), "pooled"),
        _linear(rng, "pooled", "logits", (classes, 2 * width), how=how, relu=False),
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
    how = Weights(bits, per_channel)
    nodes: tuple[Node, ...] = (
        ProjectText("bytes", "features", UTTERANCE),
        _linear(rng, "features", "hidden", (hidden, UTTERANCE.features), how=how, relu=True),
        _linear(rng, "hidden", "logits", (classes, hidden), how=how, relu=False),
        Softmax("logits", "probabilities"),
    )
    quantization = {
        "features": Quantization(1.0, 0),
        "hidden": Quantization(float(np.float32(0.05)), -128),
        "logits": Quantization(float(np.float32(0.06)), -3),
    }
    return Program(nodes, quantization)


def crooked_program(*, bits: int) -> Program:
    """Odd widths, an even window, zero points that belong to no relu, a window of a window, a part concatenated twice."""
    rng = np.random.default_rng(bits)
    limit = 7 if bits == 4 else 127
    projection = TextProjection(
        (FeatureGroup("word", 19), FeatureGroup("character", 34)), max_bytes=50, max_words=9, orders=(1, 3, 8), seed=0xFFFFFFFF
    )

    def linear(source: str, target: str, outputs: int, size: int) -> Linear:
        weight = rng.integers(-limit, limit + 1, (outputs, size)).astype(np.int8)
        bias = rng.integers(-90, 90, outputs).astype(np.int32)
        return Linear(source, target, weight, bias, False, bits, False, np.array([0.2 / limit], np.float32))

    nodes = (
        ProjectText("bytes", "features", projection),
        linear("features", "left", 5, 53),
        linear("features", "right", 1, 53),
        Window("left", "pairs", 2),
        Window("pairs", "fours", 4),
        linear("fours", "mixed", 5, 40),
        Window("right", "wide", 3),
        MaxPool("wide", "top"),
        SumPool("mixed", "sum", 0.3),
        Concat(("sum", "top", "sum"), "all"),
        linear("all", "logits", 9, 13),  # odd, and what stands behind it in memory is not 0
        Softmax("logits", "probabilities"),
    )
    narrow, broad = Quantization(float(np.float32(0.21)), 17), Quantization(float(np.float32(0.4)), -5)
    scheme = dict.fromkeys(("left", "pairs", "fours"), narrow)
    scheme |= dict.fromkeys(("right", "wide", "mixed", "top", "sum", "all", "logits"), broad)
    scheme["logits"] = Quantization(float(np.float32(0.02)), -5)
    return Program(nodes, {"features": Quantization(1.0, 0)} | scheme)
