"""What students for images reached."""

from __future__ import annotations

import statistics

from tables.markdown import NONE, percent, sizes, table, yes
from tables.results import Results, grouped, image_configuration

PIXELS = "pixels + logistic regression"


def images(results: Results) -> str:
    """Return what image students reached, every format by itself, beside their baselines."""
    body = []
    for rows in grouped(results.images, image_configuration).values():
        reached = statistics.median(min(row["accuracy"].values()) for row in rows)
        target = rows[0]["target"]
        plain = [row["plain"] for row in rows]
        for name in rows[0]["accuracy"]:
            sized = [row["size_bytes"][name] for row in rows]
            body.append(
                [
                    rows[0]["set"],
                    rows[0]["budget"],
                    name,
                    str(len(rows)),
                    percent(row["accuracy"][name] for row in rows),
                    NONE if target is None else f"{100 * target:.1f}",
                    NONE if target is None else yes(reached >= target),
                    sizes(sized),
                    f"{100 * min(row['agreement'][name] for row in rows):.2f}",
                    f"{round(statistics.median(row['macs'] for row in rows)):,}",
                    percent(row["baselines"][PIXELS] for row in rows),
                    f"{percent(found['accuracy'] for found in plain)} at {sizes(found['size_bytes'] for found in plain)}",
                ]
            )
    head = ["data", "budget", "format", "seeds", "accuracy, %", "target", "met", "size", "least agreement, %", "MACs", PIXELS]
    return table([*head, "plain network, float"], body)
