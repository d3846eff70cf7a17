"""What formats refuse that hold chains of layers only, or no recurrence."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.formats import RECURRENT_FORMATS
from understudy.program.ops import Add, Flatten, LocalMaxPool, Node, Program, Scan
from understudy.program.pointwise import Lookup, Multiply

_HELD_BY: dict[type[Node], str] = {
    **dict.fromkeys((Add, LocalMaxPool, Flatten, Lookup, Multiply), "onnx, litert, c, python, wasm or arduino"),
    Scan: f"{', '.join(RECURRENT_FORMATS[:-1])} or {RECURRENT_FORMATS[-1]}",
}
"""Operators that some formats lack, and the formats that hold them."""


def need_integer_chain(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``, or one with an operator that only a network of a user's has, or with a recurrence.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    if not program.quantization:
        raise InputError(
            f"the {format_name} format holds integer programs: received quantization={{}}; quantize the program first"
        )
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
