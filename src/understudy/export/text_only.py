"""What formats say that can only hold text models."""

from __future__ import annotations

from understudy.errors import InputError
from understudy.program.ops import Program, ProjectText


def require_text(program: Program, *, format_name: str) -> None:
    """Refuse a program whose input is no text.

    Raises:
        InputError: its first node is another than ``ProjectText``.
    """
    first = program.nodes[0]
    if not isinstance(first, ProjectText):
        raise InputError(
            f"the {format_name} format holds text models: received a program that begins with {type(first).__name__}; "
            "choose another format"
        )
