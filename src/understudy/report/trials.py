"""The trials of a search, with what all of them share told apart from what the search chose."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from understudy.family import Member, Trial


@dataclass(frozen=True)
class Trials:
    """The search for one budget.

    Attributes:
        shared: choices that are the same in every trial.
        rows: each trial with the choices that differ between trials.
        seconds: time of all trials together, None where it was not recorded.
    """

    shared: dict[str, JsonValue]
    rows: tuple[tuple[Trial, dict[str, JsonValue]], ...]
    seconds: float | None


def trials_of(member: Member) -> Trials | None:
    """Return the search for ``member``, or None where none was recorded."""
    if not member.trials:
        return None
    first, *others = (trial.recipe for trial in member.trials)
    shared = {key: value for key, value in first.items() if all(key in o and o[key] == value for o in others)} if others else {}
    rows = tuple((t, {key: value for key, value in t.recipe.items() if key not in shared}) for t in member.trials)
    recorded = [trial.seconds for trial in member.trials if trial.seconds is not None]
    return Trials(shared, rows, sum(recorded) if recorded else None)
