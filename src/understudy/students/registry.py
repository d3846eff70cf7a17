"""The table of students."""

from __future__ import annotations

from collections.abc import Callable

from understudy.errors import InputError
from understudy.program.ops import Program
from understudy.students import (
    mlp,
    plain_cnn,
    projection_cnn,
    projection_net,
    projection_rnn,
    projection_sequence,
    separable_cnn,
    sgnn,
)
from understudy.students.recipe import Recipe

_TABLE: dict[str, Callable[..., Program]] = {
    "projection_net": projection_net.build,
    "sgnn": sgnn.build,
    "projection_sequence": projection_sequence.build,
    "plain_cnn": plain_cnn.build,
    "separable_cnn": separable_cnn.build,
    "projection_cnn": projection_cnn.build,
    "projection_rnn": projection_rnn.build,
    "mlp": mlp.build,
}
STUDENTS = tuple(_TABLE)


def build_student(recipe: Recipe, *, classes: int, seed: int) -> Program:
    """Return the float program of ``recipe`` with initial weights drawn from ``seed``.

    Raises:
        InputError: no such student.
    """
    if recipe.student not in _TABLE:
        raise InputError(f"a student is one of {', '.join(STUDENTS)}: received student={recipe.student!r}; choose one of them")
    return _TABLE[recipe.student](recipe, classes=classes, seed=seed)
