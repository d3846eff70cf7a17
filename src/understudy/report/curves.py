"""Small charts of how training went: validation accuracy and loss terms against steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from understudy.family import Member
from understudy.report import svg
from understudy.report.wording import percent

WIDTH, HEIGHT = 370, 215
LEFT, TOP, BOTTOM = svg.PERCENT_LEFT, 16, 34
DEEPEST_FRACTION = 0.3
"""The accuracy axis starts at most this far below the best point; the first steps would flatten the rest."""


@dataclass(frozen=True)
class Series:
    """One line: its name, its points (step, value) and its style."""

    label: str
    points: tuple[tuple[int, float], ...]
    class_: str


def accuracy_curves(member: Member) -> Markup | None:
    """Return the chart of validation accuracy of student and twin, or None where nothing was recorded."""
    lines = [("student", member.learning_curve, "s0")]
    if member.passed_over is not None:  # the delivered student is the twin
        lines = [("twin", member.learning_curve, "s0"), ("with teacher", member.passed_over.learning_curve, "twin")]
    elif member.twin is not None:
        lines.append(("twin", member.twin.learning_curve, "twin"))
    series = [
        Series(name, tuple((p.step, p.validation_accuracy) for p in curve if p.validation_accuracy is not None), style)
        for name, curve, style in lines
    ]
    return _draw(member, [s for s in series if s.points], title="Validation accuracy", fraction=True)


def loss_curves(member: Member) -> Markup | None:
    """Return the chart of the student's named loss terms, or None where nothing was recorded."""
    terms = list(dict.fromkeys(term for point in member.learning_curve for term in point.train_loss))
    series = [
        Series(term, tuple((p.step, p.train_loss[term]) for p in member.learning_curve if term in p.train_loss), f"s{index}")
        for index, term in enumerate(terms)
    ]
    return _draw(member, series, title="Training loss, by term", fraction=False)


def phase_starts(member: Member) -> list[tuple[int, str]]:
    """Return (step, phase) where a phase after the first begins."""
    curve = member.learning_curve
    return [(after.step, after.phase) for before, after in itertools.pairwise(curve) if before.phase != after.phase]


def _draw(member: Member, series: Sequence[Series], *, title: str, fraction: bool) -> Markup | None:
    steps = [step for one in series for step, _ in one.points]
    values = [value for one in series for _, value in one.points]
    if fraction and values:
        values = [value for value in values if value >= max(values) - DEEPEST_FRACTION]
    if not series or min(steps) == max(steps):
        return None
    names = [one.label for one in series]
    right = WIDTH - min(150.0, max(svg.text_width(name) for name in names) + 12)
    low, high = (min(values), max(values)) if fraction else (0.0, max(values))
    room = max(0.06 * (high - low), 1e-3)
    x = svg.Scale(min(steps), max(steps), LEFT, right - 4)
    y = svg.Scale(max(0.0, low - room), high + room, HEIGHT - BOTTOM, TOP + 8)
    parts: list[Markup] = []
    for tick in svg.round_ticks(y.low, y.high, most=5):
        shown = f"{100 * tick:.3g} %" if fraction else f"{tick:.3g}"
        parts.append(svg.line(LEFT - 4, y(tick), right, y(tick), class_="grid"))
        parts.append(svg.text(shown, LEFT - 8, y(tick) + 4, anchor="end", class_="tick"))
    step_ticks = svg.round_ticks(x.low, x.high, most=4)
    parts += [svg.text(f"{tick:g}", x(tick), HEIGHT - BOTTOM + 16, anchor="middle", class_="tick") for tick in step_ticks]
    parts.append(svg.text("steps", (LEFT + right) / 2, HEIGHT - 3.0, anchor="middle", class_="tick"))
    for step, phase in phase_starts(member):
        parts.append(svg.line(x(step), TOP, x(step), y.start, class_="budget"))
        parts.append(svg.text(phase, x(step), TOP - 4.0, anchor="middle", class_="tick"))
    ends = svg.spread([y(s.points[-1][1]) for s in series], sizes=[svg.LINE_PIXELS] * len(series), low=0, high=y.start + 2)
    for one, end in zip(series, ends, strict=True):
        parts.append(
            svg.path([(x(step), y(value)) for step, value in one.points if value >= y.low], class_=f"{one.class_} curve")
        )
        parts.append(svg.text(_fitting(one.label, WIDTH - right - 8), right + 6, end + 4, class_=f"tick label {one.class_}"))
    last = ", ".join(f"{s.label} ends at {percent(s.points[-1][1]) if fraction else f'{s.points[-1][1]:.3g}'}" for s in series)
    return svg.drawing(*parts, width=WIDTH, height=HEIGHT, label=f"{title} of {member.budget}: {last}.", class_="chart small")


def _fitting(label: str, pixels: float) -> str:
    while svg.text_width(label) > pixels:
        label = label[:-2].rstrip("…") + "…"
    return label
