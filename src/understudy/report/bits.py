"""The chart of accuracy against neural bits, and the page that a study of them gets."""

from __future__ import annotations

import shlex
from pathlib import Path

from markupsafe import Markup

from understudy.files import write_text
from understudy.neural_bits import ENOUGH_WITHIN, NeuralBits
from understudy.report import svg
from understudy.report.findings import half_interval
from understudy.report.templates import template
from understudy.report.wording import count, percent

BITS_REPORT = "report.html"
LEFT, TOP, BOTTOM, RIGHT = 56, 26, 48, 16
_TICK_GAP = 34
LEAST_RANGE = 0.02
"""Of accuracy that the axis shows: points that are all alike would have ticks that read alike."""


def write_bits_report(study: NeuralBits, folder: Path) -> Path:
    """Write the page of ``study`` into ``folder`` and return its path.

    Raises:
        SetupError: the folder is missing, unwritable or full.
    """
    page = template("bits.html.j2", autoescape=True).render(**bits_context(study), command=shlex.join(study.command))
    write_text(folder / BITS_REPORT, page)
    return folder / BITS_REPORT


def bits_context(study: NeuralBits) -> dict[str, object]:
    """Return what ``bits_section.html.j2`` shows."""
    return {
        "study": study,
        "within": 100 * ENOUGH_WITHIN,
        "bits_wide": draw_bits(study, width=860, height=380),
        "bits_narrow": draw_bits(study, width=360, height=320),
        "bits_interval": half_interval(study.enough.accuracy, study.test_examples),
    }


def draw_bits(study: NeuralBits, *, width: int, height: int) -> Markup:
    """Return the chart: test accuracy of each number of bits, logarithmic, with the 95 % interval of the test split."""
    points = study.points
    spread = [half_interval(point.accuracy, study.test_examples) for point in points]
    low = min(point.accuracy - half for point, half in zip(points, spread, strict=True))
    high = max(point.accuracy + half for point, half in zip(points, spread, strict=True))
    low = min(low, high - LEAST_RANGE)
    room = 0.06 * (high - low)
    x = svg.Scale(points[0].bits / 1.2, points[-1].bits * 1.2, LEFT, width - RIGHT, logarithmic=True)
    y = svg.Scale(max(0.0, low - room), min(1.0, high + room) + 1e-6, height - BOTTOM, TOP)
    parts: list[Markup] = []
    for tick in svg.round_ticks(y.low, y.high, most=7):
        parts.append(svg.line(LEFT - 6, y(tick), width - RIGHT, y(tick), class_="grid"))
        parts.append(svg.text(f"{100 * tick:.3g} %", LEFT - 10, y(tick) + 4, anchor="end", class_="tick"))
    parts.append(svg.line(LEFT - 6, y.start, width - RIGHT, y.start, class_="axis"))
    last = float("-inf")
    for point in points:
        at = x(point.bits)
        parts.append(svg.line(at, y.start, at, y.start + 5, class_="axis"))
        if at - last >= _TICK_GAP:
            parts.append(svg.text(count(point.bits), at, y.start + 18, anchor="middle", class_="tick"))
            last = at
    title = "neural bits (T × d)"
    parts.append(svg.text(title, (LEFT + width - RIGHT) / 2, y.start + 38, anchor="middle", class_="tick"))
    if not (study.is_open or study.is_alone):
        enough = x(study.enough.bits)
        parts.append(svg.line(enough, TOP - 8, enough, y.start, class_="budget"))
        parts.append(svg.text(f"enough: {count(study.enough.bits)}", enough, TOP - 12, anchor="middle", class_="tick strong"))
    parts.append(svg.path([(x(point.bits), y(point.accuracy)) for point in points], class_="s0 curve faint"))
    for point, half in zip(points, spread, strict=True):
        at, title = x(point.bits), f"{count(point.bits)} bits: {percent(point.accuracy)}"
        parts.append(svg.line(at, y(max(0.0, point.accuracy - half)), at, y(min(1.0, point.accuracy + half)), class_="s0 stem"))
        parts.append(svg.marker("circle", at, y(point.accuracy), class_="s0 point", title=title))
    label = f"Accuracy on the test split against neural bits, {len(points)} points; the table below has the numbers."
    return svg.drawing(*parts, width=width, height=height, label=label, class_="chart")
