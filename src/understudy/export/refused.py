"""What formats refuse that compute in integers alone: float programs and islands; and recurrences where there is no loop."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.formats import ISLAND_FORMATS, RECURRENT_FORMATS
from understudy.program.ops import Program, Scan
from understudy.program.tokens import Attention, LayerNorm, Place, Positions, label


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
