"""What students for windows of numbers reached, beside each other in the same bytes."""

from __future__ import annotations

import statistics

from tables.markdown import percent, sizes, table
from tables.results import Results, grouped, window_configuration

NUMBERS = "numbers + logistic regression"


def windows(results: Results) -> str:
    """Return accuracy, bytes and cost of each student."""
    body = []
    for rows in grouped(results.windows, window_configuration).values():
        row = rows[0]
        body.append(
            [
                row["set"],
                row["budget"],
                row["student"],
                str(len(rows)),
                percent(min(found["accuracy"].values()) for found in rows),
                f"{row['test_windows']:,}",
                *(sizes(found["size_bytes"][name] for found in rows) for name in ("onnx", "c")),
                f"{100 * min(agreement for found in rows for agreement in found['agreement'].values()):.2f}",
                sizes(found["ram_bytes"] for found in rows),
                f"{round(statistics.median(found['macs'] for found in rows)):,}",
                percent(found["baselines"][NUMBERS] for found in rows),
            ]
        )
    head = ["data", "budget", "student", "seeds", "accuracy, %", "test windows", "onnx", "c", "least agreement, %", "RAM in C"]
    return table([*head, "MACs", NUMBERS], body)
