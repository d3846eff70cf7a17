"""From what pydantic finds wrong with a job to one line that names key, value and next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_SHOWN_CHARACTERS = 80
_WORDS = {
    "tuple_type": "an array",
    "model_type": "a table",
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "too_short": "not empty",
    "path_type": "a path",
    "string_pattern_mismatch": "made of letters, digits and underscores and begins with a letter",
}
_WAYS_TO_GIVE = {"data": 'write train = "data.csv" under [data]'}


def explain(
    errors: Sequence[ErrorDetails], *, model: type[BaseModel], received_in: str, options: Mapping[str, str] | None = None
) -> str:
    """Return one line about the first key that is wrong.

    Args:
        errors: what pydantic found; the members of a union complain one by one and are joined here.
        model: the model that was validated.
        received_in: where the values came from, for the message.
        options: dotted key to where its value came from instead, for those that did.
    """
    # an unknown key first: it usually explains why another one is missing
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    key, depth = _key(first["loc"], model)
    received_in = (options or {}).get(key, received_in)
    others = len({_key(error["loc"], model)[0] for error in errors}) - 1
    more = f" (and {others} more)" if others else ""
    received = f"received {key}={_shown(first['input'])} in {received_in}"
    if first["type"] == "extra_forbidden":
        return f"a job has only known keys: {received}; {_near(key, model)}{more}"
    if first["type"] == "missing":
        return f"a job needs {key}: received none in {received_in}; {_WAYS_TO_GIVE.get(key.split('.')[0], 'write it')}{more}"
    is_item = len(first["loc"]) > depth and isinstance(first["loc"][depth], int)
    shared = depth + 1 if is_item else depth
    rules = dict.fromkeys(_rule(error) for error in errors if error["loc"][:shared] == first["loc"][:shared])
    subject = f"each item of {key}" if is_item else key
    return f"{subject} is {' or '.join(rules)}: {received}; {_next_step(first)}{more}"


def tables(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the tables of a job file by dotted name; the empty name is its top."""
    out: dict[str, type[BaseModel]] = {"": model}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            out |= {f"{name}.{inner}".rstrip("."): table for inner, table in tables(field.annotation).items()}
    return out


def _key(location: Sequence[int | str], model: type[BaseModel]) -> tuple[str, int]:
    """Return the dotted key that a pydantic location is in, and how many parts of the location it takes.

    What follows are numbers of items and names of union members.
    """
    known = tables(model)
    for depth, part in enumerate(location):
        table = ".".join(str(before) for before in location[:depth])
        if table not in known:
            return table, depth
        if part not in known[table].model_fields:
            return f"{table}.{part}".lstrip("."), depth + 1
    return ".".join(str(part) for part in location), len(location)


def _rule(error: ErrorDetails) -> str:
    rule = re.sub(r"^(Input|String|Value) should (be|have|match) ", "", error["msg"])
    rule = rule.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    return _WORDS.get(error["type"], rule)


def _next_step(error: ErrorDetails) -> str:
    """Return a suggestion when a string is close to one of the values that are allowed."""
    allowed = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    close = difflib.get_close_matches(str(error["input"]), allowed, n=1)
    return f"did you mean {close[0]!r}?" if close else "change it"


def _near(key: str, model: type[BaseModel]) -> str:
    """Return what the user may have meant by an unknown ``key``: a similar one of its table, or the same in another table."""
    table, _, word = key.rpartition(".")
    known = tables(model)
    siblings = list(known[table].model_fields)
    close = difflib.get_close_matches(word, siblings, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    elsewhere = [name for name, other in known.items() if word in other.model_fields]
    if elsewhere:
        place = f"under [{elsewhere[0]}]" if elsewhere[0] else "at the top of the file, above the first [table]"
        return f"write it {place}"
    return f"known keys {f'under [{table}]' if table else 'at the top'} are {', '.join(siblings)}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."
