"""The chart of class balance: training examples of each class, largest class first."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from understudy.report import svg
from understudy.report.wording import count

WIDTH, HEIGHT = 340, 150


def draw_balance(class_counts: Sequence[int]) -> Markup:
    """Return bars for ``class_counts``, sorted, with the largest, the median and the smallest named."""
    ordered = sorted(class_counts, reverse=True)
    largest, middle, smallest = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    x = svg.Scale(0, len(ordered), 6, WIDTH - 6)
    y = svg.Scale(0, max(1, largest), HEIGHT - 26, 8)
    top = [(x(index + side), y(number)) for index, number in enumerate(ordered) for side in (0, 1)]
    outline = svg.path([(x(0), y(0)), *top, (x(len(ordered)), y(0))], class_="s0 area")
    axis = svg.line(x.start, y.start, x.end, y.start, class_="axis")
    named = [
        svg.text(f"largest {count(largest)}", x.start, HEIGHT - 8.0, class_="tick"),
        svg.text(f"median {count(middle)}", WIDTH / 2, HEIGHT - 8.0, anchor="middle", class_="tick"),
        svg.text(f"smallest {count(smallest)}", x.end, HEIGHT - 8.0, anchor="end", class_="tick"),
    ]
    label = (
        f"Training examples of {len(ordered)} classes, largest first: "
        f"from {count(largest)} over {count(middle)} in the middle to {count(smallest)}."
    )
    return svg.drawing(outline, axis, *named, width=WIDTH, height=HEIGHT, label=label, class_="chart small")
