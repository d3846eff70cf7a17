"""What formats refuse that hold chains of layers only."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.program.ops import Add, Flatten, LocalMaxPool, Program
from understudy.program.pointwise import Lookup, Multiply


def need_integer_chain(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``, or one with an operator that only a network of a user's has.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    if not program.quantization:
        raise InputError(
            f"the {format_name} format holds integer programs: received quantization={{}}; quantize the program first"
        )
    for node in program.nodes:
        if isinstance(node, Add | LocalMaxPool | Flatten | Lookup | Multiply):
            raise InputError(
                f"the {format_name} format holds no {type(node).__name__}: received tensor={node.output!r}; "
                "ask for onnx, litert, c, python, wasm or arduino"
            )
