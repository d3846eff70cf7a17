"""What files hold beside weights."""

from __future__ import annotations

from tables.markdown import NOT_MEASURED, table
from tables.results import Results
from understudy.units import format_bytes


def file_overhead(results: Results) -> str:
    """Return the bytes beside the weights, a row for each kind of student and a column for each format."""
    if not results.file_overhead:
        return NOT_MEASURED
    formats = list(results.file_overhead[0]["size_bytes"])
    body = [
        [
            row["kind"],
            row["student"],
            str(row["operators"]),
            format_bytes(row["weight_bytes"]),
            *(format_bytes(size - row["weight_bytes"]) for size in row["size_bytes"].values()),
        ]
        for row in results.file_overhead
    ]
    return table(["student for", "student", "operators", "weights", *formats], body)
