"""Which tensors of a program share a scale, and which of its 256 steps they use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    Scan,
    SumPool,
    Window,
    inputs_of,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real_curves import falls_below_zero
from understudy.program.tokens import Attention, LayerNorm, Place, Positions


def quantization_groups(program: Program) -> dict[str, str]:
    """Return tensor name to the name of the group that must share one scale.

    Windows, max pools, flattenings and concatenations copy values, so their inputs and outputs share their quantization;
    recurrences mix values of one range, and share theirs.
    What is added, tables of positions too, shares the scale with the sum, but not the zero point.
    """
    return _groups(program, added=True)


def signed_tensors(program: Program) -> frozenset[str]:
    """Return the hidden tensors that hold negative values: of layers and sums without relu, and all copied from or to one."""
    groups = _groups(program, added=False)
    signed: set[str] = set()
    for node in program.nodes:
        if isinstance(node, Linear | Conv | DepthwiseConv | Add) and not node.relu and node.output != program.logits:
            signed.add(groups[node.output])
        if isinstance(node, LayerNorm | Positions):
            signed.add(groups[node.output])
    while True:  # a sum over places has the sign of what it sums, a product that of its factors
        more = {groups[n.output] for n in program.nodes if _has_sign(n, groups, signed)} - signed
        if not more:
            return frozenset(name for name, of in groups.items() if of in signed)
        signed |= more


def _has_sign(node: Node, groups: Mapping[str, str], signed: Collection[str]) -> bool:
    found = [groups[name] in signed for name in inputs_of(node) if name in groups]
    if isinstance(node, Lookup):
        return falls_below_zero(node.curve, signed=found[0])
    if isinstance(node, Attention):  # means of its values
        return found[-1]
    return isinstance(node, SumPool | Multiply) and any(found)


def steps_of(name: str, signed: frozenset[str]) -> tuple[int, int]:
    """Return the least and the largest step of the hidden tensor ``name``: 256 steps, from 0 on where it is not signed."""
    return (-128, 127) if name in signed else (0, 255)


def scale_limits(program: Program) -> dict[str, float]:
    """Return group to the largest scale at which the range of its tensors ends at their ceilings (relu6)."""
    groups, signed = quantization_groups(program), signed_tensors(program)
    limits: dict[str, float] = {}
    for node in program.nodes:
        if isinstance(node, Linear | Conv | DepthwiseConv | Add) and node.ceiling is not None:
            group = groups[node.output]
            limits[group] = min(limits.get(group, np.inf), node.ceiling / steps_of(node.output, signed)[1])
    return limits | fixed_scales(program)


def fixed_scales(program: Program) -> dict[str, float]:
    """Return group to the scale that its tensors have by definition: what a recurrence reads and writes."""
    groups = quantization_groups(program)
    return {groups[node.output]: node.quantization.scale for node in program.nodes if isinstance(node, Scan)}


def _groups(program: Program, *, added: bool) -> dict[str, str]:
    group: dict[str, str] = {}

    def merge(names: Iterable[str]) -> str:
        merged = [group[name] for name in names]
        for name, of in group.items():
            group[name] = merged[0] if of in merged else of
        return merged[0]

    for node in program.nodes:
        match node:
            case Window() | MaxPool() | LocalMaxPool() | Flatten() | Place() | Scan():
                group[node.output] = group[node.input]
            case Concat():
                group[node.output] = merge(node.inputs)
            case Add() if added:
                group[node.output] = merge(node.inputs)
            case Positions() if added:
                group[node.output] = group[node.input]
            case _:
                group[node.output] = node.output
    return group
