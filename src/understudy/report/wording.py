"""Numbers and labels as the report shows them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping

from understudy.data.statistics import MEANINGS
from understudy.measurements import LatencyMicroseconds
from understudy.units import format_microseconds

NO_BREAK_SPACE = "\u00a0"
MINUS = "\u2212"
LONGEST_LABEL = 72
_BIDIRECTIONAL = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def percent(fraction: float | None) -> str:
    """Return ``93.4 %`` for 0.934, an en dash for None; what is not zero is not shown as zero."""
    if fraction is not None and 0 < fraction < 0.0005:
        return f"<{NO_BREAK_SPACE}0.1{NO_BREAK_SPACE}%"
    return "–" if fraction is None else f"{100 * fraction:.1f}{NO_BREAK_SPACE}%"


def agreement(fraction: float | None) -> str:
    """Return ``100 %`` for 1 only; anything less is rounded down, so that a disagreement is never rounded away."""
    if fraction is None:
        return "–"
    return f"100{NO_BREAK_SPACE}%" if fraction == 1 else f"{math.floor(fraction * 10000) / 100:.2f}{NO_BREAK_SPACE}%"


def points(difference: float | None) -> str:
    """Return ``+0.6 points`` for 0.006, with a true minus sign; an en dash for None."""
    if difference is None:
        return "–"
    shown = f"{abs(100 * difference):.1f}"
    sign = "±" if shown == "0.0" else "+" if difference > 0 else MINUS
    return f"{sign}{shown}{NO_BREAK_SPACE}points"


def count(number: int) -> str:
    """Return ``15,000`` for 15000."""
    return f"{number:,}"


def microseconds(value: float) -> str:
    """Return ``1.3 µs``, ``84 µs`` or ``1.24 ms``."""
    number, _, unit = format_microseconds(value).partition(" ")
    return f"{number}{NO_BREAK_SPACE}{'µs' if unit == 'us' else unit}"


def latency(value: LatencyMicroseconds | None) -> str:
    """Return ``84 µs (79–101)``: median, then p10 to p90; an en dash for None."""
    if value is None:
        return "–"
    if value.median < 1000:
        digits = 1 if value.median < 10 else 0
        return f"{microseconds(value.median)} ({value.p10:.{digits}f}–{value.p90:.{digits}f})"
    return f"{microseconds(value.median)} ({value.p10 / 1000:.2f}–{value.p90 / 1000:.2f})"


def seconds(value: float | None) -> str:
    """Return ``21 s`` or ``3 min 20 s``, an en dash for None."""
    if value is None:
        return "–"
    whole = round(value)
    return f"{whole}{NO_BREAK_SPACE}s" if whole < 60 else f"{whole // 60}{NO_BREAK_SPACE}min {whole % 60}{NO_BREAK_SPACE}s"


def visible(text: str) -> str:
    """Return ``text`` with control characters written out, so that a tab or a line break in a label can be seen."""
    if not text:
        return "(empty)"
    return "".join(_escaped(character) for character in text)


def warning(name: str) -> str:
    """Return what a warning of the data counts; the name itself where ``family.json`` comes from a newer version."""
    return MEANINGS.get(name, visible(name.replace("_", " ")))


def short(text: str) -> str:
    """Return ``visible(text)``, cut to ``LONGEST_LABEL`` characters with an ellipsis."""
    shown = visible(text)
    return shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"


def recipe(choices: Mapping[str, object]) -> str:
    """Return ``student=sgnn, features=256``."""
    return ", ".join(f"{name}={value}" for name, value in choices.items())


def markdown(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is, on one line."""
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in "\\`*_[]|#~>" else character for character in shown)


def _escaped(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Zl", "Zp") or character in _BIDIRECTIONAL:
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character, f"\\u{ord(character):04x}")
    return character
