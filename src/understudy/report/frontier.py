"""The chart of accuracy against what a file costs: students by format, twins, teacher and baselines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from understudy.family import Family, FileRecord, Member
from understudy.report import svg
from understudy.report.wording import microseconds, percent
from understudy.units import format_bytes, format_macs

LEAST_SPAN = 0.02
"""Of accuracies that the chart shows: less says nothing, and its ticks could not be told apart."""


@dataclass(frozen=True)
class Axis:
    """What the chart has to the right: a cost of a file, on a logarithmic scale.

    Attributes:
        name: word for the page.
        button: what a reader chooses it by.
        title: what stands below it.
        cost: member and file to the cost, None where it is not known.
        shown: the cost for people.
    """

    name: str
    button: str
    title: str
    cost: Callable[[Member, FileRecord], float | None]
    shown: Callable[[float], str]


BYTES = Axis(
    "bytes",
    "size",
    "bytes that count against the budget",
    lambda _, file: file.size_bytes,
    lambda value: format_bytes(round(value)),
)
MACS = Axis(
    "macs",
    "multiply-accumulates",
    "multiply-accumulates of a prediction",
    lambda member, _: member.macs or None,
    lambda value: format_macs(round(value)),
)
LATENCY = Axis(
    "latency",
    "measured time",
    "median time, where the job ran",
    lambda _, file: (file.latency_us.median if file.latency_us else None) or None,
    microseconds,
)
AXES = (BYTES, MACS, LATENCY)


@dataclass(frozen=True)
class Level:
    """An accuracy that does not depend on the budget: the teacher or a baseline."""

    label: str
    accuracy: float
    size_bytes: int | None
    class_: str


@dataclass(frozen=True)
class Frontier:
    """The chart and what it leaves out.

    Attributes:
        image: the drawing.
        off_scale: names and accuracies of levels too low to show without flattening the rest.
    """

    image: Markup
    off_scale: tuple[str, ...]


def formats_of(family: Family) -> list[str]:
    """Return the formats of all members, in the order of their first appearance."""
    return list(dict.fromkeys(file.format for member in family.members for file in member.files))


def axes_of(family: Family) -> list[Axis]:
    """Return the axes for which every measured file of ``family`` has a figure."""
    files = [(member, file) for member in family.members for file in member.files if file.accuracy is not None]
    return [axis for axis in AXES if files and all(axis.cost(member, file) is not None for member, file in files)]


def draw_frontier(
    family: Family,
    *,
    width: int,
    height: int,
    label_characters: int,
    farthest_baseline: float = 256,
    axis: Axis = BYTES,
) -> Frontier | None:
    """Return the chart, or None for a family without a measured file.

    Args:
        family: what is drawn.
        width: pixels.
        height: pixels.
        farthest_baseline: a baseline more than this many times larger than the largest file is drawn as a line only,
            to keep the files apart.
        label_characters: the names of teacher and baselines are broken to lines of this length, right of the plot.
        axis: one of ``axes_of``. Budgets and the sizes of baselines are shown on the axis of bytes alone.
    """
    measured = [(member, file) for member in family.members for file in member.files if file.accuracy is not None]
    if not measured:
        return None
    costs = {file.path: cost for member, file in measured if (cost := axis.cost(member, file)) is not None}
    levels = _levels(family)
    low, high, shown = _accuracy_range(family, levels)
    right = width - label_characters * 6.4 - 20
    others = _byte_costs(family, shown, farthest=farthest_baseline) if axis is BYTES else []
    known = [*costs.values(), *others]
    x = svg.Scale(min(known) / 1.25, max(known) * 1.25, svg.PERCENT_LEFT, right - 8, logarithmic=True)
    y = svg.Scale(low, high, height - 40, 34)
    parts = [*_grid(axis, x, y, right)]
    if axis is BYTES:
        parts += _budget_lines(family, x, y)
    parts += _level_lines(shown, x, y, right, label_characters, sizes=axis is BYTES)
    if axis is not LATENCY:  # a twin was not timed
        parts += _twins(family, axis, x, y)
    for index, name in enumerate(formats_of(family)):
        files = sorted((pair for pair in measured if pair[1].format == name), key=lambda pair: costs[pair[1].path])
        points = [(x(costs[f.path]), y(f.accuracy or 0)) for _, f in files]
        if points:
            parts.append(svg.path(points, class_=f"s{index} curve faint"))
        for (member, file), (px, py) in zip(files, points, strict=True):
            doubt = "" if file.verified else ", not verified"
            title = f"{member.budget} {name}: {percent(file.accuracy)} in {axis.shown(costs[file.path])}{doubt}"
            hollow = "" if file.verified else " hollow"
            parts.append(svg.marker(svg.SHAPES[index % 3], px, py, class_=f"s{index} point{hollow}", title=title))
    label = f"Accuracy on the test split against {axis.title}, for {len(measured)} files; the table below has the numbers."
    image = svg.drawing(*parts, width=width, height=height, label=label, class_="chart")
    return Frontier(image, tuple(f"{level.label} ({percent(level.accuracy)})" for level in levels if level not in shown))


def _levels(family: Family) -> list[Level]:
    levels = []
    if family.teacher is not None and family.teacher.accuracy is not None:
        name = "teacher" if family.teacher.used else "teacher (not used)"
        levels.append(Level(name, family.teacher.accuracy, family.teacher.size_bytes, "teacher"))
    levels += [Level(b.name, b.accuracy, b.size_bytes, "baseline") for b in family.baselines]
    return levels


def _accuracy_range(family: Family, levels: list[Level]) -> tuple[float, float, list[Level]]:
    students = [file.accuracy for member in family.members for file in member.files if file.accuracy is not None]
    students += [member.twin.accuracy for member in family.members if member.twin is not None]
    high = max([*students, *(level.accuracy for level in levels)])
    low = min(students)
    room = max(high - low, LEAST_SPAN)
    shown = [level for level in levels if level.accuracy >= low - 2 * room]
    low = min([low, *(level.accuracy for level in shown)])
    span = max(high - low, LEAST_SPAN)
    margin = 0.08 * span + (span - (high - low)) / 2
    return max(0.0, low - margin), min(1.0, high + margin) + 1e-6, shown


def _byte_costs(family: Family, shown: list[Level], *, farthest: float) -> list[float]:
    """Return what else the axis of bytes must reach: files that were not run, budgets, and baselines that are not too far."""
    sizes: list[float] = [file.size_bytes for member in family.members for file in member.files]
    sizes += [member.budget_bytes for member in family.members]
    far = farthest * max(sizes)
    baselines = [level.size_bytes for level in shown if level.class_ == "baseline" and level.size_bytes]
    sizes += [size for size in baselines if size <= far]
    return [max(1, size) for size in sizes]


def _grid(axis: Axis, x: svg.Scale, y: svg.Scale, right: float) -> list[Markup]:
    parts = []
    for tick in svg.round_ticks(y.low, y.high, most=7):
        decimals = 0 if abs(tick * 100 - round(tick * 100)) < 1e-9 else 1
        parts.append(svg.line(x.start - 6, y(tick), right, y(tick), class_="grid"))
        parts.append(svg.text(f"{100 * tick:.{decimals}f} %", x.start - 10, y(tick) + 4, anchor="end", class_="tick"))
    parts.append(svg.line(x.start - 6, y.start, right, y.start, class_="axis"))
    ticks = (svg.byte_ticks if axis is BYTES else svg.decade_ticks)(x, gap_pixels=58)
    for tick in ticks:
        parts.append(svg.line(x(tick), y.start, x(tick), y.start + 5, class_="axis"))
        parts.append(svg.text(tick_text(axis, tick), x(tick), y.start + 18, anchor="middle", class_="tick"))
    title = svg.text(axis.title, (x.start + x.end) / 2, y.start + 36, anchor="middle", class_="tick")
    return [*parts, title]


def tick_text(axis: Axis, value: float) -> str:
    """Return a round value as short as it can be said."""
    if axis is BYTES:
        return f"{value:g} B" if value < 1024 else f"{value / 1024:g} KB" if value < 1024**2 else f"{value / 1024**2:g} MB"
    if axis is MACS:
        return f"{value:g}" if value < 1000 else f"{value / 1000:g}k" if value < 1000**2 else f"{value / 1000**2:g}M"
    return f"{value:g} µs" if value < 1000 else f"{value / 1000:g} ms"


def _budget_lines(family: Family, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    budgets = {member.budget_bytes: member.budget for member in family.members}
    places = [x(size) for size in budgets]
    widths = [svg.text_width(name) + 8 for name in budgets.values()]
    if sum(widths) > x.end - x.start:  # only the first and the last are named where there is no room for all
        widths = [width if index in (0, len(widths) - 1) else 0.0 for index, width in enumerate(widths)]
    centres = svg.spread(places, sizes=widths, low=x.start - 30, high=x.end + 30)
    parts = []
    for name, place, centre, width in zip(budgets.values(), places, centres, widths, strict=True):
        parts.append(svg.line(place, y.end - 8, place, y.start, class_="budget"))
        if width:
            parts.append(svg.text(name, centre, 14.0, anchor="middle", class_="tick strong"))
    return parts


def _level_lines(
    levels: list[Level], x: svg.Scale, y: svg.Scale, right: float, characters: int, *, sizes: bool
) -> list[Markup]:
    blocks = [[percent(level.accuracy), *textwrap.wrap(_named(level), characters)[:4]] for level in levels]
    heights = [len(block) * svg.LINE_PIXELS + 6 for block in blocks]
    centres = svg.spread([y(level.accuracy) for level in levels], sizes=heights, low=0, high=y.start + 30)
    parts = []
    for level, block, centre in zip(levels, blocks, centres, strict=True):
        at = y(level.accuracy)
        parts.append(svg.line(x.start - 6, at, right, at, class_=f"level {level.class_}"))
        parts.append(svg.line(right, at, right + 10, centre, class_=f"level {level.class_} lead"))
        top = centre - len(block) * svg.LINE_PIXELS / 2 + 11
        for row, content in enumerate(block):
            style = f"tick strong {level.class_}" if row == 0 else f"tick {level.class_}"
            parts.append(svg.text(content, right + 14, top + row * svg.LINE_PIXELS, class_=style))
        if sizes and level.size_bytes and x.low <= level.size_bytes <= x.high:
            title = f"{level.label}: {percent(level.accuracy)} in {format_bytes(level.size_bytes)}"
            parts.append(svg.marker("diamond", x(level.size_bytes), at, class_=f"{level.class_} point", title=title))
    return parts


def _named(level: Level) -> str:
    return level.label if level.size_bytes is None else f"{level.label}, {format_bytes(level.size_bytes)}"


def _twins(family: Family, axis: Axis, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    parts = []
    for member in family.members:
        cost = member.largest_bytes() if axis is BYTES else member.macs
        if member.twin is not None and cost is not None:
            at = x(cost)
            parts.append(svg.line(at, y(member.twin.accuracy), at, y(member.accuracy), class_="twin stem"))
            title = f"{member.budget} without teacher: {percent(member.twin.accuracy)}"
            parts.append(svg.marker("circle", at, y(member.twin.accuracy), class_="twin point hollow", title=title))
    return parts
