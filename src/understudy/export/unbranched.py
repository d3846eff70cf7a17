"""What formats refuse that hold chains of layers only, no recurrence, or integers alone."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.formats import ISLAND_FORMATS, RECURRENT_FORMATS
from understudy.program.ops import Add, Flatten, LocalMaxPool, Node, Program, Scan
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.tokens import Attention, LayerNorm, Place, Positions, label

_HELD_BY: dict[type[Node], str] = {
    **dict.fromkeys((Add, LocalMaxPool, Flatten, Lookup, Multiply), "onnx, litert, c, python, wasm or arduino"),
    Scan: f"{', '.join(RECURRENT_FORMATS[:-1])} or {RECURRENT_FORMATS[-1]}",
}
"""Operators that some formats lack, and the formats that hold them."""


def need_integers(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``, or one of tokens, such as a vision transformer: its float islands and what comes with them.

    Raises:
        InputError: naming the first island and where it sits, and formats that hold it.
    """
    if not program.quantization:
        raise InputError(
            f"the {format_name} format holds integer programs: received quantization={{}}; quantize the program first"
        )
    advice = " ".join(f"--format {name}" for name in ISLAND_FORMATS)
    for node in program.nodes:
        if isinstance(node, LayerNorm | Attention):
            raise InputError(
                f"the {format_name} format computes in integers alone: received a float island, {label(node)}; ask for {advice}"
            )
    for node in program.nodes:
        if isinstance(node, Positions | Place):
            raise InputError(
                f"the {format_name} format holds no {type(node).__name__}: received tensor={node.output!r}; ask for {advice}"
            )


def need_integer_chain(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``, or one with an operator that only a network of a user's has, or with a recurrence.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    need_integers(program, format_name=format_name)
    _refuse(program, tuple(_HELD_BY), format_name=format_name)


def need_no_recurrence(program: Program, *, format_name: str) -> None:
    """Refuse a ``program`` with a recurrence over time.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    _refuse(program, (Scan,), format_name=format_name)


def _refuse(program: Program, kinds: tuple[type[Node], ...], *, format_name: str) -> None:
    for node in program.nodes:
        if isinstance(node, kinds):
            raise InputError(
                f"the {format_name} format holds no {type(node).__name__}: received tensor={node.output!r}; "
                f"ask for {_HELD_BY[type(node)]}"
            )
