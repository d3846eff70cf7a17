"""The values that a job file may hold, as types that check them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from understudy.formats import FORMATS, known_formats
from understudy.settings import DataFile
from understudy.student_names import StudentName

StudentChoice = Literal["auto", StudentName]
TrainingMode = Literal["self", "distill", "joint"]


def _as_typed(value: object) -> object:
    """Return a budget or time as typed; TOML and Python may write plain bytes or seconds as an integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else value


def _known_format(word: str) -> str:
    known = known_formats()
    if word not in known:
        *words, last = [repr(name) for name in known]
        raise PydanticCustomError("format", "Input should be {expected}", {"expected": f"{', '.join(words)} or {last}"})
    return word


# other packages may add formats, so that an editor can only suggest ours
FormatName = Annotated[
    str, AfterValidator(_known_format), WithJsonSchema({"anyOf": [{"enum": list(FORMATS)}, {"type": "string"}]})
]
Typed = Annotated[str, BeforeValidator(_as_typed)]
# TOML knows no tuples: strict=False takes its arrays
Budgets = Annotated[tuple[Typed, ...], Field(strict=False, min_length=1)]
Devices = Annotated[tuple[str, ...], Field(strict=False)]
Formats = Annotated[tuple[FormatName, ...], Field(strict=False, min_length=1)]
KeyFiles = Annotated[tuple[DataFile, ...], Field(strict=False)]
