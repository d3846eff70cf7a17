"""Small integer programs of tokens with random weights: what vision transformers have, with float islands."""

from __future__ import annotations

from functools import partial

import numpy as np

from understudy.program.curves import table_of
from understudy.program.ops import Add, Conv, Image, Linear, Node, Program, Quantization, Softmax, SumPool
from understudy.program.pointwise import Lookup
from understudy.program.tokens import Attention, LayerNorm, Place, Positions
from understudy.testing.image_programs import layer_numbers

_STREAM = ("patches", "tokens", "mixed", "stream", "narrow", "output", "token")


def token_program(
    *,
    shape: tuple[int, int, int] = (12, 8, 3),
    patch: int = 4,
    heads: int = 2,
    width: int = 8,
    head_width: int = 3,
    per_channel: bool = True,
    class_token: bool = True,
    seed: int = 0,
) -> Program:
    """Patches with positions, one block of attention and of two layers with GELU between them, a class token or the mean."""
    rng = np.random.default_rng(seed)

    numbers = partial(layer_numbers, rng, per_channel=per_channel, gain=1.5)
    places = (shape[0] // patch) * (shape[1] // patch)
    table = rng.integers(-60, 61, (places + class_token, width)).astype(np.int8)
    inner = heads * head_width
    nodes: list[Node] = [
        Image("pixels", "image", shape),
        Conv("image", "patches", stride=patch, padding=(0, 0, 0, 0), **numbers(width, patch, patch, shape[2], gain=3.0)),
        Positions("patches", "tokens", table),
        LayerNorm("tokens", "norm1", 1e-5, "blocks.0.norm1"),
        *(Linear("norm1", name, **numbers(inner, width, gain=3.0)) for name in ("query", "key")),
        Linear("norm1", "value", **numbers(inner, width)),
        Attention(("query", "key", "value"), "attended", heads, head_width**-0.5, "blocks.0.attention"),
        Linear("attended", "mixed", **numbers(width, inner, gain=3.0)),
        Add(("tokens", "mixed"), "stream", relu=False),
        LayerNorm("stream", "norm2", 1e-6, "blocks.0.norm2"),
        Linear("norm2", "wide", **numbers(2 * width, width)),
        Lookup("wide", "bent", "x gelu"),
        Linear("bent", "narrow", **numbers(width, 2 * width, gain=3.0)),
        Add(("narrow", "stream"), "output", relu=False),
    ]
    if class_token:
        nodes += [Place("output", "token", 0), LayerNorm("token", "norm", 1e-5, "norm")]
    else:
        nodes += [LayerNorm("output", "norm", 1e-5, "norm")]
    nodes += [Linear("norm", "last", **numbers(width, width))] if class_token else [SumPool("norm", "last", 1 / places)]
    nodes += [Linear("last", "logits", **numbers(7, width, gain=6.0)), Softmax("logits", "probabilities")]
    scales = dict.fromkeys(_STREAM, 0.02) | {"norm1": 0.02, "norm2": 0.02, "norm": 0.02, "attended": 0.015, "bent": 0.015}
    scales |= {"query": 0.03, "key": 0.03, "value": 0.02, "wide": 0.03, "last": 0.02, "logits": 0.04}
    scheme = {
        node.output: Quantization(float(np.float32(scales[node.output])), -117 if node.output == "bent" else 0)
        for node in nodes[1:-1]
    }
    scheme |= {"image": Image.quantization, "logits": Quantization(scheme["logits"].scale, 5)}
    for at, node in enumerate(nodes):
        if isinstance(node, Lookup):
            nodes[at] = Lookup(node.input, node.output, node.curve, table_of(node.curve, scheme["wide"], scheme["bent"]))
    return Program(tuple(nodes), scheme)
