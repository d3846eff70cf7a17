"""Small integer programs for vectors and windows with random weights, for tests of everything that executes or exports one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from understudy.program.ops import (
    Concat,
    Conv,
    DepthwiseConv,
    Linear,
    MaxPool,
    Node,
    Program,
    Quantization,
    Softmax,
    Standardize,
    SumPool,
)
from understudy.testing.image_programs import image_program


def vector_program(
    *,
    inputs: int = 13,
    bits: int = 8,
    per_channel: bool = True,
    classes: int = 7,
    width: int = 12,
    bias: bool = True,
    seed: int = 0,
) -> Program:
    """Two layers on ``inputs`` numbers of very different means and deviations; the last of them counts for nothing."""
    rng = np.random.default_rng(seed)
    limit = 7 if bits == 4 else 127

    def layer(source: str, target: str, columns: int, rows: int, *, relu: bool) -> Linear:
        return Linear(
            source,
            target,
            weight=rng.integers(-limit, limit + 1, (rows, columns)).astype(np.int8),
            bias=rng.integers(-900, 900, rows).astype(np.int32) if bias else None,
            relu=relu,
            bits=bits,
            per_channel=per_channel,
            weight_scale=(rng.uniform(0.5, 1.5, rows if per_channel else 1) * 2 / limit / columns**0.5).astype(np.float32),
        )

    nodes: tuple[Node, ...] = (
        source(rng, (inputs,)),
        layer("standardized", "hidden", inputs, width, relu=True),
        layer("hidden", "logits", width, classes, relu=False),
        Softmax("logits", "probabilities"),
    )
    hidden = Quantization(float(np.float32(rng.uniform(0.02, 0.03))), -128)
    logits = Quantization(float(np.float32(0.03)), 5)
    return Program(nodes, {"standardized": Standardize.quantization, "hidden": hidden, "logits": logits})


def seen_program(*, inputs: int = 20, seed: int = 0) -> Program:
    """Return a program whose logits are the standardized numbers themselves: unit weights, equal scales."""
    identity = np.eye(inputs, dtype=np.int8)
    layer = Linear("standardized", "logits", identity, None, False, 8, False, np.ones(1, np.float32))
    nodes = (source(np.random.default_rng(seed), (inputs,)), layer, Softmax("logits", "probabilities"))
    return Program(nodes, dict.fromkeys(("standardized", "logits"), Standardize.quantization))


def window_program(
    *,
    shape: tuple[int, int] = (29, 3),
    bits: int = 8,
    per_channel: bool = True,
    classes: int = 7,
    channels: int = 8,
    kernel: int = 5,
    seed: int = 0,
) -> Program:
    """The layers of ``image_program`` along one axis, on windows of steps and channels."""
    steps, inputs = shape
    made = image_program(
        shape=(steps, 1, inputs),
        bits=bits,
        per_channel=per_channel,
        classes=classes,
        channels=channels,
        kernel=(kernel, 1),
        seed=seed,
    )
    renamed = {"image": "standardized"}
    # values have a smaller range than pixels around another zero point
    scheme = {
        renamed.get(name, name): value if name == "logits" else Quantization(4 * value.scale, value.zero_point)
        for name, value in made.quantization.items()
    }
    nodes = tuple(
        replace(node, input="standardized") if isinstance(node, Conv) and node.input == "image" else node
        for node in made.nodes[1:]
    )
    assert all(isinstance(n, Conv | DepthwiseConv | Linear | MaxPool | SumPool | Concat | Softmax) for n in nodes)
    return Program((source(np.random.default_rng(seed), shape), *nodes), {**scheme, "standardized": Standardize.quantization})


def source(rng: np.random.Generator, shape: tuple[int, ...]) -> Standardize:
    """Return a source of ``shape`` with very different means and deviations; the last of several channels has none."""
    count = shape[-1]
    offset = rng.normal(0, 10.0 ** rng.integers(-3, 4, count)).astype(np.float32)
    multiplier = (10.0 ** rng.uniform(-4, 4, count)).astype(np.float32)
    offset[0] = 0
    multiplier[1:][-1:] = 0
    return Standardize("values", "standardized", shape, offset, multiplier)


def measurements(program: Program, count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return float32 examples: most near the means, others far away, between two steps, huge, tiny, infinite or NaN."""
    numbers = program.source
    assert isinstance(numbers, Standardize)
    rng = np.random.default_rng(seed)
    deviation = 1 / np.where(numbers.multiplier == 0, 1, numbers.multiplier).astype(np.float64)
    values = numbers.offset + deviation * rng.normal(0, 1.5, (count, *numbers.shape))
    ties = numbers.offset + deviation * (rng.integers(-130, 130, values.shape) + 0.5) * numbers.quantization.scale
    values[::4] = ties[::4]
    odd = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, -1e-45, 0.0, -0.0, 1e30]
    values[1::4] = np.where(rng.random(values[1::4].shape) < 0.2, rng.choice(odd, values[1::4].shape), values[1::4])
    if count > 1:
        values[0], values[1] = np.nan, numbers.offset
    return values.astype(np.float32)
