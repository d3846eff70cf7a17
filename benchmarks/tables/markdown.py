"""Tables, and numbers in them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from understudy.units import format_bytes

NONE = "–"
NOT_MEASURED = "Not measured yet."


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, or a line that says that there is nothing yet."""
    if not body:
        return NOT_MEASURED
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(values: Iterable[float | None]) -> str:
    """Return the median of fractions in percent, with least and most where there are several."""
    return spread(values, lambda value: f"{100 * value:.1f}")


def sizes(values: Iterable[float | None]) -> str:
    """Return the median of bytes, with least and most where they differ."""
    return spread(values, lambda value: format_bytes(round(value)))


def spread(values: Iterable[float | None], show: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    middle, least, most = show(statistics.median(known)), show(min(known)), show(max(known))
    return middle if least == most else f"{middle} ({least} to {most})"


def spread_of(found: Mapping[str, float], digits: int) -> str:
    """Return what a latency row holds of one way: median, least and most."""
    return f"{found['median']:.{digits}f} ({found['least']:.{digits}f} to {found['most']:.{digits}f})"


def yes(condition: bool) -> str:
    """Return the condition as a word."""
    return "yes" if condition else "**no**"
