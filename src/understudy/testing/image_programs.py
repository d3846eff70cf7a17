"""Small integer programs for images with random weights, for tests of everything that executes or exports one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.program.curves import table_of
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Padding,
    Program,
    ProjectBoxes,
    Quantization,
    Softmax,
    SumPool,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.shapes import same_padding
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


def branched_program(
    *,
    shape: tuple[int, int, int] = (13, 10, 3),
    bits: int = 8,
    per_channel: bool = True,
    channels: int = 8,
    pool: tuple[int, int] = (3, 3),
    padding: Padding = (1, 1, 1, 1),
    flat: bool = False,
    seed: int = 0,
) -> Program:
    """What networks of users have: a pool of neighbours, sums and concatenations of maps, tensors with negative values."""
    rng = np.random.default_rng(seed)

    def numbers(*weight_shape: int, gain: float = 1.5) -> dict[str, Any]:
        outputs, inputs, limit = (
            weight_shape[0],
            int(np.prod(weight_shape[1:])),
            7 if len(weight_shape) == 2 and bits == 4 else 127,
        )
        spread = rng.uniform(0.7, 1.3, outputs if per_channel else 1)
        return {
            "weight": rng.integers(-limit, limit + 1, weight_shape).astype(np.int8),
            "bias": rng.integers(-1500, 2500, outputs).astype(np.int32),
            "per_channel": per_channel,
            "weight_scale": (spread * gain / limit / inputs**0.5).astype(np.float32),
        }

    def conv(source: str, output: str, inputs: int, *, relu: bool, stride: int = 1) -> Conv:
        return Conv(source, output, stride=stride, padding=(1, 1, 1, 1), relu=relu, **numbers(channels, 3, 3, inputs))

    def mixed(source: str, output: str, inputs: int, outputs: int, *, relu: bool) -> Linear:
        return Linear(source, output, relu=relu, bits=bits, **numbers(outputs, inputs))

    body: tuple[Node, ...] = (
        Image("pixels", "image", shape),
        conv("image", "stem", shape[2], relu=True),
        LocalMaxPool("stem", "pooled", pool, 2, padding),
        conv("pooled", "inner", channels, relu=True),
        conv("inner", "branch", channels, relu=False),
        Add(("branch", "pooled"), "block", relu=True),  # 0 and -128 to -128
        mixed("block", "narrow", channels, channels, relu=False),
        DepthwiseConv("narrow", "spread", stride=1, padding=(1, 1, 1, 1), relu=False, **numbers(channels, 3, 3)),
        Add(("narrow", "spread"), "stream", relu=False),  # all signed
        conv("stream", "grown", channels, relu=True),  # with relu, and zero point 0 beside signed ones
        Concat(("stream", "grown", "stream"), "dense"),
        LocalMaxPool("dense", "dense_pooled", (2, 2), 2, (0, 1, 1, 0)),
        DepthwiseConv(
            "dense_pooled", "scaled", stride=1, padding=(0, 0, 0, 0), relu=True, **numbers(3 * channels, 1, 1, gain=1.0)
        ),
        mixed("scaled", "last", 3 * channels, 2 * channels, relu=False),
    )
    values = int(np.prod(Program((*body, Softmax("last", "probabilities"))).shapes()["last"])) if flat else 2 * channels
    head: tuple[Node, ...] = (Flatten("last", "row"),) if flat else (SumPool("last", "row", 0.1),)
    nodes = (*body, *head, mixed("row", "logits", values, 7, relu=False), Softmax("logits", "probabilities"))
    scales = {name: float(np.float32(rng.uniform(0.004, 0.008))) for name in ("residual", "inner", "signed", "scaled", "last")}
    group = {"stem": "residual", "pooled": "residual", "branch": "residual", "block": "residual", "inner": "inner"}
    group |= dict.fromkeys(("narrow", "spread", "stream", "grown", "dense", "dense_pooled"), "signed")
    group |= {"scaled": "scaled", "last": "last", "row": "last"}
    signed = ("branch", "narrow", "spread", "stream", "grown", "dense", "dense_pooled", "last", "row")
    scheme = {name: Quantization(2 * scales[of], 0 if name in signed else -128) for name, of in group.items()}
    if not flat:
        scheme["row"] = Quantization(float(np.float32(0.003)), 0)
    logits = Quantization(float(np.float32(0.02)), 5)
    return Program(nodes, {**scheme, "image": Image.quantization, "logits": logits})


def layer_numbers(rng: np.random.Generator, *weight_shape: int, per_channel: bool, gain: float = 2.0) -> dict[str, Any]:
    """Return random int8 weights ``weight_shape``, biases and scales of a layer without ReLU, which ``gain`` makes louder."""
    outputs, inputs = weight_shape[0], int(np.prod(weight_shape[1:]))
    spread = rng.uniform(0.7, 1.3, outputs if per_channel else 1)
    return {
        "weight": rng.integers(-127, 128, weight_shape).astype(np.int8),
        "bias": rng.integers(-1500, 1500, outputs).astype(np.int32),
        "per_channel": per_channel,
        "weight_scale": (spread * gain / 127 / inputs**0.5).astype(np.float32),
        "relu": False,
    }


def gated_program(
    *,
    shape: tuple[int, int, int] = (13, 10, 3),
    per_channel: bool = True,
    channels: int = 8,
    kernel: tuple[int, int] = (5, 5),
    seed: int = 0,
) -> Program:
    """What MobileNetV3 and EfficientNet have: activations as tables, a gate for each channel, products of maps and vectors."""
    rng = np.random.default_rng(seed)

    numbers = partial(layer_numbers, rng, per_channel=per_channel)
    size = (-(-shape[0] // 2), -(-shape[1] // 2))
    around = same_padding(size, kernel=kernel, stride=2)
    stem = same_padding(shape[:2], kernel=(3, 3), stride=2)
    plain: tuple[Node, ...] = (
        Image("pixels", "image", shape),
        Conv("image", "stem", stride=2, padding=stem, **numbers(channels, 3, 3, shape[2])),
        Lookup("stem", "swish", "x hardswish"),
        DepthwiseConv("swish", "spread", stride=2, padding=around, **numbers(channels, *kernel)),
        Lookup("spread", "smooth", "x silu"),
        SumPool("smooth", "squeezed", 0.05),
        Linear("squeezed", "narrow", **(numbers(3, channels) | {"relu": True})),
        Linear("narrow", "wide", **numbers(channels, 3, gain=6.0)),
        Lookup("wide", "gate", "x 3 add 0 6 clamp 6 div"),
        Multiply(("smooth", "gate"), "excited"),
        Lookup("excited", "bounded", "x tanh"),
        Multiply(("excited", "bounded"), "squared"),
        Linear("squared", "mixed", **numbers(2 * channels, channels, gain=20.0)),
        Lookup("mixed", "last", "x 0.1 leaky_relu"),
        MaxPool("last", "largest"),
        SumPool("last", "total", 0.1),
        Multiply(("largest", "total"), "pooled"),
        Lookup("pooled", "bent", "x x sigmoid mul"),
        Linear("bent", "logits", **numbers(7, 2 * channels)),
        Softmax("logits", "probabilities"),
    )
    zeros = {"gate": -128, "narrow": -128, "swish": -96, "bounded": 3}
    sizes = {"gate": 1 / 255, "squeezed": 0.004, "narrow": 0.003, "excited": 0.008, "bounded": 1 / 180, "squared": 0.003}
    sizes |= {"mixed": 0.02, "last": 0.01, "total": 0.004, "pooled": 0.0005, "bent": 0.00025}
    scheme = {
        node.output: Quantization(
            float(np.float32(sizes.get(node.output, rng.uniform(0.012, 0.02)))), zeros.get(node.output, 0)
        )
        for node in plain[1:-1]
    }
    scheme |= {"image": Image.quantization, "largest": scheme["last"], "logits": Quantization(float(np.float32(0.001)), 5)}
    nodes = tuple(
        replace(node, table=table_of(node.curve, scheme[node.input], scheme[node.output])) if isinstance(node, Lookup) else node
        for node in plain
    )
    return Program(nodes, scheme)


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
