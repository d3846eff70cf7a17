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
    ProjectBoxes,
    Quantization,
    Softmax,
    SumPool,
    same_padding,
)
from understudy.projections.boxes import BoxProjection


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


def box_program(
    *,
    shape: tuple[int, int, int] = (13, 10, 3),
    rows: tuple[int, ...] = tuple(range(40, 90)),
    channels: int = 0,
    bits: int = 8,
    classes: int = 7,
    hidden: int = 12,
    seed: int = 0,
) -> Program:
    """Pairs of boxes on an image, or on the ``channels`` of a convolution over it, a hidden layer, classes."""
    rng = np.random.default_rng(seed)
    limit = 7 if bits == 4 else 127
    nodes: list[Node] = [Image("pixels", "image", shape)]
    scheme = {"image": Image.quantization, "signs": ProjectBoxes.quantization}
    if channels:
        weight = rng.integers(-127, 128, (channels, 3, 3, shape[2])).astype(np.int8)
        bias, scale = rng.integers(-1500, 3000, channels).astype(np.int32), np.asarray([0.005], np.float32)
        padding = same_padding(shape[:2], kernel=(3, 3), stride=2)
        nodes.append(Conv("image", "stem", weight, bias, 2, padding, relu=True, per_channel=False, weight_scale=scale))
        shape = (-(-shape[0] // 2), -(-shape[1] // 2), channels)
        scheme["stem"] = Quantization(float(np.float32(0.01)), -128)
    nodes.append(ProjectBoxes(nodes[-1].output, "signs", BoxProjection(shape, rows, seed)))
    for source, output, inputs, outputs in (("signs", "hidden", len(rows), hidden), ("hidden", "logits", hidden, classes)):
        weight = rng.integers(-limit, limit + 1, (outputs, inputs)).astype(np.int8)
        bias, scale = rng.integers(-99, 99, outputs).astype(np.int32), np.asarray([0.5 / limit], np.float32)
        nodes.append(Linear(source, output, weight, bias, output == "hidden", bits, per_channel=False, weight_scale=scale))
    scheme |= {"hidden": Quantization(float(np.float32(0.05)), -128), "logits": Quantization(float(np.float32(0.05)), 5)}
    return Program((*nodes, Softmax("logits", "probabilities")), scheme)


def pictures(program: Program, count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return uint8 images: a black and a white one, half of them dark with bright columns, the rest noise."""
    rng = np.random.default_rng(seed)
    shape = program.source.input_shape
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[0], images[1] = 0, 255
    images[2 : count // 2] = images[2 : count // 2] // 8 * (np.arange(shape[1]) % 8)[None, None, :, None].astype(np.uint8)
    return images
