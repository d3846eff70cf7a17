"""Where a program's tensors stand in the static RAM of the C format, and which nodes need none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from understudy.program.ops import Concat, Linear, Node, Program, ProjectText, Window, inputs_of
from understudy.program.pointwise import Lookup, Multiply


@dataclass(frozen=True)
class Placement:
    """The memory plan of one program.

    Attributes:
        offsets: tensor name to its first byte in the tensor area; tensors without a place are missing.
        tensor_bytes: size of the tensor area.
        direct_features: the features are read row by row by linear layers, so that only one row ever exists.
        gathered_windows: names of windows that the linear layer behind them reads straight from the rows.
        written_in_place: (concat output, input) pairs that need no copy.
        reach: tensors whose rows of absent tokens hold the zero point, to how many rows before its own a row depends on:
            up to that many rows more than there are tokens hold something else.
    """

    offsets: dict[str, int]
    tensor_bytes: int
    direct_features: bool
    gathered_windows: frozenset[str]
    written_in_place: frozenset[tuple[str, str]]
    reach: dict[str, int]


def _readers(program: Program, tensor: str) -> list[Node]:
    return [node for node in program.nodes if tensor in inputs_of(node)]


def _all_linear(nodes: list[Node]) -> bool:
    return bool(nodes) and all(isinstance(node, Linear) for node in nodes)


def place_tensors(program: Program) -> Placement:
    """Return a memory plan for an integer ``program``: by first fit over lifetimes.

    Parts of a concatenation stand side by side, and activations where what they read stood.
    """
    features = program.nodes[0].output
    direct = isinstance(program.source, ProjectText) and _all_linear(_readers(program, features))
    gathered = frozenset(
        node.output
        for node in program.nodes
        if isinstance(node, Window)
        and _all_linear(_readers(program, node.output))
        and program.quantization[node.input] == program.quantization[node.output]
    )
    sizes = {
        node.output: math.prod(program.shapes()[node.output])
        for node in program.nodes[:-1]
        if node.output not in gathered and not (direct and node.output == features)
    }
    part_of = _concatenated(program, sizes)
    part_of |= _overwritten(program, known=part_of)
    lifetimes = _lifetimes(program, gathered, features=features if direct else None)
    roots: dict[str, tuple[int, int]] = {}
    for name in sizes:
        root, _ = _root(name, part_of)
        begin, end = lifetimes[name]
        known = roots.get(root, (begin, end))
        roots[root] = (min(begin, known[0]), max(end, known[1]))
    root_offsets = _first_fit(roots, sizes)
    offsets = {}
    for name in sizes:
        root, within = _root(name, part_of)
        offsets[name] = root_offsets[root] + within
    return Placement(
        offsets=offsets,
        tensor_bytes=max((root_offsets[name] + sizes[name] for name in root_offsets), default=0),
        direct_features=direct,
        gathered_windows=gathered,
        written_in_place=frozenset((whole, name) for name, (whole, _) in part_of.items()),
        reach=_reach(program),
    )


def place_reals(program: Program) -> tuple[dict[str, int], int]:
    """Return where tensors of floats stand, each by itself while it is needed, and how many floats they take together."""
    sizes = {node.output: math.prod(program.shapes()[node.output]) for node in program.nodes[:-1]}
    lifetimes = _lifetimes(program, (), features=None)
    offsets = _first_fit({name: lifetimes[name] for name in sizes}, sizes)
    return offsets, max(offsets[name] + size for name, size in sizes.items())


def _reach(program: Program) -> dict[str, int]:
    first = program.source
    if not isinstance(first, ProjectText):
        return {}
    by_word = first.projection.pooling == "word" and first.projection.values != "binary"
    reach = {first.output: 0} if by_word else {}
    for node in program.nodes[1:]:
        if isinstance(node, Linear | Window) and node.input in reach and getattr(node, "bias", None) is None:
            reach[node.output] = reach[node.input] + ((node.width - 1) // 2 if isinstance(node, Window) else 0)
    return reach


def _concatenated(program: Program, sizes: dict[str, int]) -> dict[str, tuple[str, int]]:
    """Return tensor to (concatenation, offset in it) for every tensor that can be written in its final place.

    Of several places the parts do not lie beside each other.
    """
    shapes = program.shapes()
    concats = [node for node in program.nodes if isinstance(node, Concat) and len(shapes[node.output]) == 1]
    uses = [name for node in concats for name in node.inputs]
    part_of: dict[str, tuple[str, int]] = {}
    for node in concats:
        offset = 0
        for name in node.inputs:
            if uses.count(name) == 1 and name in sizes:
                part_of[name] = (node.output, offset)
            offset += math.prod(shapes[name])
    return part_of


def _overwritten(program: Program, *, known: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Return tensor to (output, 0) for what a node that works value by value reads last, and may write over."""
    found: dict[str, tuple[str, int]] = {}
    for node in program.nodes:
        if isinstance(node, Lookup | Multiply):
            first = inputs_of(node)[0]
            if first not in known and _readers(program, first)[-1] is node:
                found[first] = (node.output, 0)
    return found


def _root(name: str, part_of: dict[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the tensor whose place holds that of ``name``, and the offset of ``name`` in it."""
    offset = 0
    while name in part_of:
        name, step = part_of[name]
        offset += step
    return name, offset


def _lifetimes(program: Program, gathered: Iterable[str], *, features: str | None) -> dict[str, tuple[int, int]]:
    """Return for each tensor the node indices that write it first and read it last; layers on direct features run at 0."""
    lifetimes: dict[str, tuple[int, int]] = {}
    behind = {node.output: inputs_of(node)[0] for node in program.nodes if node.output in gathered}
    for index, node in enumerate(program.nodes):
        begin = 0 if features is not None and features in inputs_of(node) else index
        lifetimes[node.output] = (begin, index)
        for name in inputs_of(node):
            for read in (name, behind.get(name)):
                if read in lifetimes:
                    lifetimes[read] = (lifetimes[read][0], index)
    return lifetimes


def _first_fit(lifetimes: dict[str, tuple[int, int]], sizes: dict[str, int]) -> dict[str, int]:
    """Return offsets at which tensors that live at the same time do not overlap, the largest first."""
    offsets: dict[str, int] = {}
    for name in sorted(lifetimes, key=lambda n: (-sizes[n], n)):
        begin, end = lifetimes[name]
        taken = sorted(
            (offsets[other], offsets[other] + sizes[other])
            for other in offsets
            if lifetimes[other][0] <= end and begin <= lifetimes[other][1]
        )
        offset = 0
        for first, last in taken:
            if offset + sizes[name] <= first:
                break
            offset = max(offset, last)
        offsets[name] = offset
    return offsets
