"""What formats refuse: float programs, and islands or recurrences, or signs of what is not rounded, where they cannot be."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.formats import ISLAND_FORMATS, RECURRENT_FORMATS
from understudy.program.ops import Program, ProjectBoxes, Scan
from understudy.program.tokens import Attention, LayerNorm, Place, Positions, label


def need_integers(program: Program, *, format_name: str) -> None:
    """Refuse a float ``program``, or one with islands, see ``need_no_tokens``.

    Raises:
        InputError: the program is float, or has an island.
    """
    _need_quantization(program, format_name=format_name)
    need_no_tokens(program, format_name=format_name)


def need_no_tokens(program: Program, *, format_name: str) -> None:
    """Refuse a ``program`` of tokens: its float islands and what comes with them.

    Raises:
        InputError: naming the first island and where it sits, and formats that hold it.
    """
    advice = " ".join(f"--format {name}" for name in ISLAND_FORMATS)
    for node in program.nodes:
        if isinstance(node, LayerNorm | Attention):
            raise InputError(
                f"the {format_name} format holds no float islands: received a float island, {label(node)}; ask for {advice}"
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


def need_reals(program: Program, *, format_name: str) -> None:
    """Refuse a ``program`` that real numbers do not give the answers of: signs of what layers computed.

    A sign is 1 or -1 on one side or the other of a tie, where the last digit of a float decides. Signs of what the source
    gives are computed from its integers.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    _need_quantization(program, format_name=format_name)
    for node in program.nodes:
        if isinstance(node, ProjectBoxes) and node.input != program.source.output:
            raise InputError(
                f"the {format_name} format compares boxes of the input alone: received tensor={node.output!r} of "
                f"{node.input!r}, which is not rounded there; ask for --format {format_name.removesuffix('_float')}"
            )


def need_reals_alone(program: Program, *, format_name: str) -> None:
    """Refuse what ``need_reals`` refuses, and islands, see ``need_no_tokens``.

    Raises:
        InputError: naming the operator, and formats that hold it.
    """
    need_no_tokens(program, format_name=format_name)
    need_reals(program, format_name=format_name)


def _need_quantization(program: Program, *, format_name: str) -> None:
    if not program.quantization:
        raise InputError(
            f"the {format_name} format holds integer programs: received quantization={{}}; quantize the program first"
        )
