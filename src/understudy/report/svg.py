"""Elements, scales and label placement for charts that are drawn without a plotting library."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

FONT_PIXELS = 11.5
PERCENT_LEFT = 54
"""Where the plot begins: behind percentages with a decimal."""
LINE_PIXELS = 14.0


def element(tag: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """Return ``<tag …>children</tag>``; text children and attribute values are escaped.

    ``class_`` gives ``class``, underscores become hyphens, floats are rounded to 0.1, None leaves the attribute out.
    """
    parts = []
    for name, value in attributes.items():
        if value is not None:
            shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
            parts.append(f' {name.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"<{tag}{''.join(parts)}>{inside}</{tag}>")  # noqa: S704 - every part is escaped above


def drawing(*children: Markup, width: float, height: float, label: str, class_: str) -> Markup:
    """Return an SVG drawing that a screen reader announces as ``label``."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        class_=class_,
        role="img",
        aria_label=label,
    )


def text(content: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Return a line of text with its baseline at ``y``."""
    return element("text", content, x=x, y=y, text_anchor=anchor, class_=class_)


def text_width(content: str) -> float:
    """Return about how many pixels ``content`` takes; a little too many rather than too few."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.6 for c in content) * FONT_PIXELS


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from ``low..high`` to pixels ``start..end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of ``value``."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def round_ticks(low: float, high: float, *, most: int) -> list[float]:
    """Return at most ``most`` multiples of 1, 2 or 5 times a power of ten inside ``low..high``."""
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def byte_ticks(scale: Scale, *, gap_pixels: float) -> list[float]:
    """Return powers of two inside a logarithmic ``scale`` of bytes, at least ``gap_pixels`` from each other.

    A scale that holds fewer than two of them has ticks at round numbers of bytes, KB or MB.
    """
    powers = [2.0**k for k in range(40) if scale.low <= 2**k <= scale.high]
    if len(powers) < 2:
        unit = next((unit for unit in (1024**2, 1024) if scale.high >= unit), 1)
        most = max(2, int(abs(scale.end - scale.start) / gap_pixels))
        powers = [tick * unit for tick in round_ticks(scale.low / unit, scale.high / unit, most=most)]
    return _apart(powers, scale, gap_pixels)


def decade_ticks(scale: Scale, *, gap_pixels: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten inside a logarithmic ``scale``, or fewer, at least ``gap_pixels`` from each other.

    A scale that holds none of them has ticks at more digits.
    """
    low, high = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    digits: tuple[float, ...]
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(n / 100 for n in range(100, 1000))):
        found = [digit * 10.0**power for power in range(low, high + 1) for digit in digits]
        found = [value for value in found if scale.low <= value <= scale.high]
        if len(found) >= 3:
            break
    return _apart(found, scale, gap_pixels)


def _apart(values: Sequence[float], scale: Scale, gap_pixels: float) -> list[float]:
    """Return the first of ``values``, in order, and each that is far enough from the one before."""
    ticks: list[float] = []
    for value in values:
        if not ticks or abs(scale(value) - scale(ticks[-1])) >= gap_pixels:
            ticks.append(value)
    return ticks


def spread(wanted: Sequence[float], *, sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Return centres near ``wanted`` such that intervals of ``sizes`` neither overlap nor leave ``low..high``.

    When all of them together do not fit, they leave the range at ``low``, still without overlap.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    centres = dict.fromkeys(order, 0.0)
    edge = low
    for index in order:
        centres[index] = max(wanted[index], edge + sizes[index] / 2)
        edge = centres[index] + sizes[index] / 2
    edge = high
    for index in reversed(order):
        centres[index] = min(centres[index], edge - sizes[index] / 2)
        edge = centres[index] - sizes[index] / 2
    return [centres[index] for index in range(len(wanted))]


_UNIT_SHAPES = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.15), (1.05, 0.8), (-1.05, 0.8)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
}
SHAPES = ("circle", "square", "triangle", "diamond")
_RADIUS = 5.0


def marker(shape: str, x: float, y: float, *, class_: str, title: str) -> Markup:
    """Return a point of one of ``SHAPES`` that shows ``title`` when it is pointed at."""
    if shape == "circle":
        return element("circle", element("title", title), cx=x, cy=y, r=_RADIUS, class_=class_)
    corners = " ".join(f"{x + _RADIUS * dx:.1f},{y + _RADIUS * dy:.1f}" for dx, dy in _UNIT_SHAPES[shape])
    return element("polygon", element("title", title), points=corners, class_=class_)


def path(points: Sequence[tuple[float, float]], *, class_: str) -> Markup:
    """Return a line through ``points``."""
    return element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)
