"""An integer program of the right shape with arbitrary numbers, to know the size of files before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from understudy.program.groups import fixed_scales, quantization_groups, signed_tensors
from understudy.program.ops import (
    WEIGHT_LIMIT,
    Conv,
    DepthwiseConv,
    Layer,
    Linear,
    Node,
    Program,
    ProjectBoxes,
    ProjectVector,
    Quantization,
    Softmax,
    Standardize,
)
from understudy.program.pointwise import Lookup
from understudy.program.tokens import Positions


def quantized_shape(program: Program) -> Program:
    """Return ``program`` with random integers for weights and scales; files of it are as large as a trained one's.

    The numbers are random rather than zero, and every scale is another one, because files store equal constants once.
    """
    groups = quantization_groups(program)
    rng = np.random.default_rng(0)
    scale = iter(rng.uniform(0.01, 0.1, 1000).astype(np.float32).tolist())
    signed = signed_tensors(program)
    source = groups[program.source.output]
    scales = {groups[program.logits]: next(scale), **fixed_scales(program)}
    quantization = {}
    for node in program.nodes:
        if not isinstance(node, Softmax):
            zero_point = 0 if node.output in signed else -128
            quantization[node.output] = Quantization(scales.setdefault(groups[node.output], next(scale)), zero_point)
    quantization |= {name: program.source.quantization for name in quantization if groups[name] == source}
    quantization[program.logits] = Quantization(scales[groups[program.logits]], 3)
    quantization |= {n.output: n.quantization for n in program.nodes if isinstance(n, ProjectBoxes | ProjectVector)}
    return Program(tuple(_random(node, rng) for node in program.nodes), quantization)


def _random(node: Node, rng: np.random.Generator) -> Node:
    if isinstance(node, ProjectVector):
        return node.as_linear(Standardize.quantization)
    if isinstance(node, Standardize):
        offset, multiplier = rng.uniform(1, 2, (2, len(node.offset))).astype(np.float32)
        return replace(node, offset=offset, multiplier=multiplier)
    if isinstance(node, Lookup):
        return replace(node, table=rng.integers(-128, 128, 256).astype(np.int8))
    if isinstance(node, Positions):
        return replace(node, table=rng.integers(-128, 128, node.table.shape).astype(np.int8))
    return _random_layer(node, rng) if isinstance(node, Linear | Conv | DepthwiseConv) else node


def _random_layer(node: Layer, rng: np.random.Generator) -> Layer:
    limit = WEIGHT_LIMIT[node.bits]
    rows = len(node.weight)
    return replace(
        node,
        weight=rng.integers(-limit, limit + 1, node.weight.shape).astype(np.int8),
        bias=None if node.bias is None else rng.integers(-500, 500, rows).astype(np.int32),
        weight_scale=rng.uniform(0.001, 0.01, rows if node.per_channel else 1).astype(np.float32),
    )
