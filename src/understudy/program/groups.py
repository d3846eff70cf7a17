"""Which tensors of a program share one quantization."""

from __future__ import annotations

from understudy.program.ops import Concat, MaxPool, Program, Window


def quantization_groups(program: Program) -> dict[str, str]:
    """Return tensor name to the name of the group that must share one quantization.

    Windows, max pools and concatenations copy values, so their inputs and outputs share scale and zero point.
    """
    group: dict[str, str] = {}
    for node in program.nodes:
        match node:
            case Window() | MaxPool():
                group[node.output] = group[node.input]
            case Concat():
                first = group[node.inputs[0]]
                merged = {group[name] for name in node.inputs}
                group = {name: first if of in merged else of for name, of in group.items()}
                group[node.output] = first
            case _:
                group[node.output] = node.output
    return group
