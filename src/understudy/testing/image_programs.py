"""Small integer programs for images with random weights, for tests of everything that executes or exports one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.program.ops import (
    Concat,
    Conv,
    DepthwiseConv,
    Image,
    Linear,
    MaxPool,
    Node,
    Padding,
    Program,
    Quantization,
    Softmax,
    SumPool,
    same_padding,
)


def image_program(
    *,
    shape: tuple[int, int, int] = (13, 10, 3),
    bits: int = 8,
    per_channel: bool = True,
    classes: int = 7,
    channels: int = 8,
    kernel: tuple[int, int] = (3, 3),
    stride: int = 2,
    padding: Padding | None = None,
    seed: int = 0,
) -> Program:
    """A convolution, two separable blocks, sum and max over places, classes."""
    rng = np.random.default_rng(seed)
    size = (shape[0], shape[1])

    def numbers(*weight_shape: int, bits: int = 8) -> dict[str, Any]:
        """Return weights, with scales that keep a layer's outputs about as large as its inputs."""
        outputs, inputs, limit = weight_shape[0], int(np.prod(weight_shape[1:])), 7 if bits == 4 else 127
        spread = rng.uniform(0.5, 1.5, outputs if per_channel else 1)
        return {
            "weight": rng.integers(-limit, limit + 1, weight_shape).astype(np.int8),
            "bias": rng.integers(-1500, 3000, outputs).astype(np.int32),
            "per_channel": per_channel,
            "weight_scale": (spread * 2 / limit / inputs**0.5).astype(np.float32),
        }

    def place(step: int) -> dict[str, Any]:
        nonlocal size
        around = same_padding(size, kernel=kernel, stride=step) if padding is None else padding
        rows, columns = ((n + a + b - k) // step + 1 for n, a, b, k in zip(size, around[:2], around[2:], kernel, strict=True))
        size = (rows, columns)
        return {"stride": step, "padding": around, "relu": True}

    def mixed(source: str, output: str, inputs: int, outputs: int, *, relu: bool) -> Linear:
        return Linear(source, output, relu=relu, bits=bits, **numbers(outputs, inputs, bits=bits))

    nodes: tuple[Node, ...] = (
        Image("pixels", "image", shape),
        Conv("image", "stem", **numbers(channels, *kernel, shape[2]), **place(stride)),
        DepthwiseConv("stem", "spread_one", **numbers(channels, *kernel), **place(1)),
        mixed("spread_one", "mixed_one", channels, channels, relu=True),
        DepthwiseConv("mixed_one", "spread_two", **numbers(channels, *kernel), **place(2)),
        mixed("spread_two", "mixed_two", channels, channels, relu=True),
        MaxPool("mixed_two", "largest"),
        SumPool("mixed_two", "total", 0.1),
        Concat(("total", "largest"), "pooled"),
        mixed("pooled", "logits", 2 * channels, classes, relu=False),
        Softmax("logits", "probabilities"),
    )
    scheme = {node.output: Quantization(float(np.float32(rng.uniform(0.004, 0.008))), -128) for node in nodes[1:-1]}
    scheme |= dict.fromkeys(("largest", "total", "pooled"), scheme["mixed_two"])
    logits = Quantization(float(np.float32(0.008)), 5)
    return Program(nodes, {**scheme, "image": Image.quantization, "logits": logits})


def pictures(program: Program, count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return uint8 images: a black and a white one, half of them dark with bright columns, the rest noise."""
    rng = np.random.default_rng(seed)
    shape = program.source.input_shape
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[0], images[1] = 0, 255
    images[2 : count // 2] = images[2 : count // 2] // 8 * (np.arange(shape[1]) % 8)[None, None, :, None].astype(np.uint8)
    return images
