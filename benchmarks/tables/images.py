"""What students for images reached."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tables.markdown import NONE, percent, sizes, spread, table, yes
from tables.results import (
    Results,
    Row,
    grouped,
    image_configuration,
    larger_width,
    projection_configuration,
    projection_mode,
    teaching_configuration,
)

PIXELS = "pixels + logistic regression"
ALONE = "alone"
FORMATS = ("onnx", "litert", "c", "python")


def images(results: Results) -> str:
    """Return what image students reached, every format by itself, beside their baselines."""
    body = []
    for rows in grouped(results.images, image_configuration).values():
        reached = statistics.median(_judged(row) for row in rows)
        target = rows[0]["target"]
        plain = [row["plain"] for row in rows]
        for name in rows[0]["accuracy"]:
            sized = [row["size_bytes"][name] for row in rows]
            constants = [row["c_constants_bytes"] for row in rows if "c_constants_bytes" in row]
            body.append(
                [
                    rows[0]["set"],
                    rows[0]["budget"],
                    rows[0]["student"],
                    _passes(rows),
                    name,
                    str(len(rows)),
                    percent(row["accuracy"][name] for row in rows),
                    percent(row["validation_accuracy"] for row in rows),
                    NONE if target is None else f"{100 * target:.1f}",
                    NONE if target is None else yes(reached >= target),
                    sizes(sized),
                    sizes(constants) if name == "c" and len(constants) == len(rows) else NONE,
                    f"{100 * min(row['agreement'][name] for row in rows):.2f}",
                    f"{round(statistics.median(row['macs'] for row in rows)):,}",
                    percent(row["baselines"][PIXELS] for row in rows),
                    f"{percent(found['accuracy'] for found in plain)} at {sizes(found['size_bytes'] for found in plain)}",
                ]
            )
    head = ["data", "budget", "student", "epochs", "format", "seeds", "accuracy, %", "validation, %", "target", "met"]
    return table([*head, "size", "constants in C", "least agreement, %", "MACs", PIXELS, "plain network, float"], body)


def _passes(rows: Sequence[Row]) -> str:
    """Return how often ``rows`` go over the images, and in which time where that decided it."""
    first = rows[0]
    if first.get("time"):
        return f"{', '.join(sorted({str(row['passes'] or 'default') for row in rows}))} in {first['time']}"
    return "default" if first["epochs"] is None else str(first["epochs"])


def _judged(row: Row) -> float:
    """Return the lowest accuracy on the splits on which the target has to be reached."""
    reached = [min(row["accuracy"].values())]
    if "validation" in row.get("judged_on", ()):
        reached.append(row["validation_accuracy"])
    return float(min(reached))


def projections(results: Results) -> str:
    """Return what projection students of published shapes reached, with the bytes of their files beside."""
    body = []
    for rows in grouped(results.projections, projection_configuration).values():
        row, reached = rows[0], statistics.median(row["accuracy"] for row in rows)
        mined = f"best of {row['candidates']}" if row["candidates"] else "the first"
        body.append(
            [
                row["set"],
                row["student"],
                row["shape"],
                f"{row['weights']:,}",
                mined if row["student"] == "projection_net" else "the first, of what convolutions found",
                projection_mode(row),
                str(len(rows)),
                percent(row["accuracy"] for row in rows),
                NONE if row["published"] is None else f"{100 * row['published']:.1f}",
                NONE if row["asked"] is None else f"{100 * row['asked']:.1f}",
                NONE if row["asked"] is None else yes(reached >= row["asked"]),
                *(sizes(found["files"][name]["size_bytes"] for found in rows) for name in FORMATS),
                f"{100 * min(file['agreement'] for found in rows for file in found['files'].values()):.2f}",
            ]
        )
    head = ["data", "student", "bits and hidden", "learned numbers", "rows", "mode", "seeds", "accuracy, %", "published"]
    return table([*head, "target", "met", *FORMATS, "least agreement, %"], body)


def image_teaching(results: Results) -> str:
    """Return what a larger network brought to a small student of images, in each of the ways that were tried."""
    body = []
    for rows in grouped(results.image_teaching, teaching_configuration).values():
        alone = {row["seed"]: row["validation_accuracy"] for row in results.image_teaching if _beside(rows[0], row)}
        gains = [row["validation_accuracy"] - alone[row["seed"]] for row in rows if row["seed"] in alone]
        body.append(
            [
                rows[0]["set"],
                f"{rows[0]['images']:,}",
                f"{rows[0]['epochs']}",
                rows[0]["way"],
                str(len(rows)),
                percent(row["validation_accuracy"] for row in rows),
                NONE if rows[0]["way"] == ALONE else spread(gains, lambda gain: f"{100 * gain:+.1f}"),
                str(larger_width(rows[0])) if rows[0]["larger"] else NONE,
                percent(row["larger"] and row["larger"]["validation_accuracy"] for row in rows),
            ]
        )
    return table(
        [
            "data",
            "images",
            "passes",
            "student",
            "seeds",
            "accuracy, %",
            "gain, points",
            "larger network's width",
            "its accuracy, %",
        ],
        body,
    )


def _beside(row: Row, other: Row) -> bool:
    """Return whether ``other`` is the student that learned alone, of the same comparison as ``row``."""
    *comparison, _, _ = teaching_configuration(row)
    return teaching_configuration(other) == (*comparison, (0, 0), ALONE)


def pruned(results: Results) -> str:
    """Return what became of networks that understudy did not write."""
    body = []
    for rows in grouped(results.pruned, lambda row: (row["network"], row["budget"])).values():
        row = rows[0]
        weights, macs = (
            [f"{round(statistics.median(found[f'{what}_{when}'] for found in rows)):,}" for when in ("before", "after")]
            for what in ("weights", "macs")
        )
        body.append(
            [
                row["network"],
                row["budget"],
                str(len(rows)),
                *weights,
                *macs,
                percent(found["accuracy_before"] for found in rows),
                percent(found["accuracy_cut"] for found in rows),
                percent(min(found["accuracy"].values()) for found in rows),
                sizes(max(found["size_bytes"].values()) for found in rows),
                f"{100 * min(agreement for found in rows for agreement in found['agreement'].values()):.2f}",
                percent(found["baselines"][PIXELS] for found in rows),
            ]
        )
    head = ["network", "budget", "seeds", "weights before", "after", "MACs before", "after", "accuracy before, %", "cut, %"]
    return table([*head, "delivered, %", "largest file", "least agreement, %", PIXELS], body)
