"""Runs on emulated devices."""

from __future__ import annotations

from typing import Any

from tables.markdown import percent, sizes, spread, table
from tables.results import Results, Row, grouped, set_order


def devices(results: Results) -> str:
    """Return what one model does on emulated cores: exactness, instructions, flash and RAM of the whole firmware."""
    found = [(row, each) for row in results.devices for each in row["measurements"]]
    order = {(each["target"], each["format"]): i for i, (_, each) in enumerate(found)}

    def key(pair: tuple[Row, Row]) -> tuple[Any, ...]:
        return (*set_order(pair[0]), order[pair[1]["target"], pair[1]["format"]])

    body = []
    for pairs in grouped(found, key).values():
        rows, measured = [row for row, _ in pairs], [each for _, each in pairs]
        differing = sum(each["differing"] for each in measured)
        body.append(
            [
                rows[0]["set"],
                measured[0]["target"],
                measured[0]["format"],
                str(len(rows)),
                percent(row["accuracy"] for row in rows),
                f"{sum(each['examples'] for each in measured):,}",
                f"{'yes' if all(each['exact'] for each in measured) else '**no**'}, {differing} labels differ",
                sizes(each["flash_bytes"] for each in measured),
                sizes(each["ram_bytes"] for each in measured),
                spread((each["instructions"] for each in measured), lambda value: f"{value / 1e6:.2f}"),
                spread((each["latency_us"] and each["latency_us"]["median"] / 1e3 for each in measured), lambda v: f"{v:.0f}"),
            ]
        )
    head = ["data", "target", "format", "seeds", "accuracy, %", "texts", "exact", "flash", "RAM"]
    return table([*head, "million instructions, median text", "**estimated** ms"], body)
