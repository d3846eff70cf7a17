"""What some formats refuse: float programs, and recurrences where there is no loop."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.formats import RECURRENT_FORMATS
from understudy.program.ops import Program, Scan


def need_integers(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``.

    Raises:
        InputError: it holds no quantization.
    """
    if not program.quantization:
        raise InputError(
            f"the {format_name} format holds integer programs: received quantization={{}}; quantize the program first"
        )


def need_no_recurrence(program: Program, *, format_name: str) -> None:
    """Refuse a ``program`` with a recurrence over time.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    for node in program.nodes:
        if isinstance(node, Scan):
            raise InputError(
                f"the {format_name} format holds no {type(node).__name__}: received tensor={node.output!r}; "
                f"ask for {', '.join(RECURRENT_FORMATS[:-1])} or {RECURRENT_FORMATS[-1]}"
            )
