"""What students for texts reached, and their peers."""

from __future__ import annotations

import statistics
from typing import Any

from text import SETS

from tables.markdown import NONE, percent, sizes, spread, table, yes
from tables.results import Results, Row, configuration, described, grouped, set_order
from understudy.units import format_bytes, parse_bytes

BASELINE = "TF-IDF + logistic regression"
MAJORITY = "majority class"
AUROC_TARGET = 0.90


def targets(results: Results) -> str:
    """Return what was asked for and what was reached."""
    body = []
    for rows in results.default_runs().values():
        what = SETS[rows[0]["set"]]
        reached = [min(row["accuracy"].values()) for row in rows]
        baseline = [row["baselines"][BASELINE] for row in rows]
        middle = statistics.median(reached)
        body.append(
            [
                rows[0]["set"],
                rows[0]["budget"],
                described(rows[0]),
                str(len(rows)),
                percent(reached),
                f"{100 * what.target:.1f}",
                yes(middle >= what.target),
                percent(baseline),
                yes(middle >= statistics.median(baseline)),
                results.fasttext_best(rows[0]["set"], 1),
                results.fasttext_best(rows[0]["set"], 10),
            ]
        )
    head = ["data", "budget", "search", "seeds", "accuracy, %", "target", "met", BASELINE, "not below it"]
    return table([*head, "fastText, same size", "fastText, ten times the size"], body)


def files(results: Results) -> str:
    """Return every format by itself."""
    body = []
    for rows in results.default_runs().values():
        for name in rows[0]["accuracy"]:
            sized = [row["size_bytes"][name] for row in rows]
            body.append(
                [
                    rows[0]["set"],
                    name,
                    described(rows[0]),
                    percent(row["accuracy"][name] for row in rows),
                    sizes(sized),
                    yes(max(sized) <= parse_bytes(rows[0]["budget"])),
                    f"{100 * min(row['agreement'][name] for row in rows):.2f}",
                ]
            )
    return table(["data", "format", "search", "accuracy, %", "size", "in budget", "least agreement, %"], body)


def teaching(results: Results) -> str:
    """Return what the teacher brought."""
    body = []
    for rows in results.default_runs().values():
        gains = [gain for row in rows if (gain := _gain(row)) is not None]
        body.append(
            [
                rows[0]["set"],
                described(rows[0]),
                percent(row["accuracy"][next(iter(row["accuracy"]))] for row in rows),
                percent(row["twin_accuracy"] for row in rows),
                spread(gains, lambda gain: f"{100 * gain:+.1f}"),
                percent(row["teacher"] and row["teacher"]["accuracy"] for row in rows),
                sizes(row["teacher"] and row["teacher"]["size_bytes"] for row in rows),
                percent(row["baselines"][BASELINE] for row in rows),
                percent(row["baselines"][MAJORITY] for row in rows),
            ]
        )
    head = ["data", "search", "student, %", "twin, %", "gain, points", "teacher, %", "teacher's size", BASELINE, MAJORITY]
    return table(head, body)


def _gain(row: Row) -> float | None:
    """Return what the teacher bought; None without one, and in older rows that have the twin's accuracy alone."""
    if row["twin_accuracy"] is None or (row.get("taught") is False and "taught_accuracy" not in row):
        return None
    taught: float = row.get("taught_accuracy") or next(iter(row["accuracy"].values()))
    return taught - row["twin_accuracy"]


def students(results: Results) -> str:
    """Return every student at every budget that was tried."""
    body = [
        [
            rows[0]["set"],
            rows[0]["budget"],
            rows[0]["student"],
            described(rows[0]),
            str(len(rows)),
            percent(min(row["accuracy"].values()) for row in rows),
            percent(row["macro_f1"] for row in rows),
            sizes(max(row["size_bytes"].values()) for row in rows),
            spread((row["weights"] for row in rows), lambda count: f"{count:,.0f}"),
            percent(row["baselines"][BASELINE] for row in rows),
        ]
        for rows in grouped(results.text, configuration).values()
    ]
    head = ["data", "budget", "student", "search", "seeds", "accuracy, %", "macro-F1, %", "largest file", "weights"]
    return table([*head, BASELINE], body)


def search(results: Results) -> str:
    """Return what the search found beside its own first recipe, given the same time."""
    body = []
    for rows in grouped(results.search, lambda row: (*set_order(row), row["trials"])).values():
        best, longer = ([row[name] for row in rows] for name in ("search", "first_longer"))
        body.append(
            [
                rows[0]["set"],
                rows[0]["budget"],
                f"{rows[0]['trials']}",
                str(len(rows)),
                percent(row["first"] for row in rows),
                percent(best),
                percent(longer),
                yes(statistics.median(best) > statistics.median(longer)),
                spread((row["first_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
                spread((row["search_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
                spread((row["first_longer_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
            ]
        )
    head = ["data", "budget", "trials", "seeds", "first recipe, %", "search, %", "first recipe, as long, %", "search is better"]
    return table([*head, "first recipe, s", "search, s", "first recipe, as long, s"], body)


def out_of_scope(results: Results) -> str:
    """Return how well the best score tells texts of no class."""
    body = []
    for rows in results.default_runs().values():
        found = [row["auroc"] for row in rows if row["auroc"] is not None]
        if found:
            met = yes(statistics.median(found) >= AUROC_TARGET)
            shown = spread(found, lambda value: f"{value:.3f}")
            body.append(
                [rows[0]["set"], rows[0]["budget"], described(rows[0]), str(len(found)), shown, f"{AUROC_TARGET:.2f}", met]
            )
    return table(["data", "budget", "search", "seeds", "AUROC", "target", "met"], body)


def raw_text(results: Results) -> str:
    """Return the accuracy on text as people write it."""
    body = [
        [
            rows[0]["set"] + (" (synthetic)" if rows[0]["synthetic"] else ""),
            rows[0]["budget"],
            f"{rows[0]['trained_on']}, {rows[0]['train_texts']:,} texts",
            f"{rows[0]['tested_on']}, {rows[0]['test_texts']:,} texts",
            str(len(rows)),
            percent(row["accuracy"] for row in rows),
            percent(row["baseline"] for row in rows),
        ]
        for rows in grouped(results.raw_text, lambda row: (*set_order(row), row["trained_on"], row["tested_on"])).values()
    ]
    return table(["data", "budget", "trained on", "tested on", "seeds", "accuracy, %", BASELINE], body)


def few_texts(results: Results) -> str:
    """Return what was learned from few texts of each class."""
    body = [
        [
            rows[0]["set"],
            str(rows[0]["per_class"]),
            f"{rows[0]['texts']:,}",
            "no" if rows[0]["recombined"] == 0 else "yes",
            str(len(rows)),
            percent(row["accuracy"] for row in rows),
            percent(row["twin_accuracy"] for row in rows),
            percent(row["teacher"] and row["teacher"]["accuracy"] for row in rows),
            f"{sum(bool(row['teacher'] and row['teacher']['used']) for row in rows)} of {len(rows)}",
            percent(row["baselines"][BASELINE] for row in rows),
            yes(statistics.median(row["accuracy"] - row["baselines"][BASELINE] for row in rows) >= 0),
        ]
        for rows in grouped(results.few_texts, lambda row: (*set_order(row), row["per_class"], str(row["recombined"]))).values()
    ]
    head = [
        "data",
        "of a class, on average",
        "texts",
        "recombined ones",
        "seeds",
        "student, %",
        "twin, %",
        "teacher, %",
        "teacher used",
    ]
    return table([*head, BASELINE, "not below it"], body)


def other_sets(results: Results) -> str:
    """Return what the defaults reach on sets that none of them was chosen on."""
    body = [
        [
            rows[0]["set"],
            rows[0]["labels"],
            str(rows[0]["classes"]),
            f"{rows[0]['texts']['train']:,} and {rows[0]['texts']['test']:,}",
            str(len(rows)),
            percent(row["accuracy"] for row in rows),
            sizes(row["size_bytes"] for row in rows),
            percent(row["teacher"] and row["teacher"]["accuracy"] for row in rows),
            percent(row["baselines"][BASELINE] for row in rows),
            yes(statistics.median(row["accuracy"] - row["baselines"][BASELINE] for row in rows) >= 0),
            _best_peer(results, rows[0], larger=False),
            _best_peer(results, rows[0], larger=True),
        ]
        for rows in grouped((row for row in results.other_sets if "labels" in row), lambda row: row["set"]).values()
    ]
    head = ["data", "labels", "classes", "texts, train and test", "seeds", "accuracy, %", "largest file", "teacher, %"]
    peers = ["fastText, same size", "fastText, ten times the size"]
    return table([*head, BASELINE, "not below it", *peers], body)


def _best_peer(results: Results, student: Row, *, larger: bool) -> str:
    """Return accuracy and size of the best of fastText's files for the set and budget of ``student``, or for ten times that."""
    budget_bytes = parse_bytes(student["budget"])
    peers = [row for row in results.other_sets if row["set"] == student["set"] and "limit_bytes" in row]
    files = [row for row in peers if row["size_bytes"] and (row["limit_bytes"] > budget_bytes) == larger]
    best = max(files, key=lambda row: row["accuracy"], default=None)
    return NONE if best is None else f"{percent([best['accuracy']])} at {format_bytes(best['size_bytes'])}"


def fasttext(results: Results) -> str:
    """Return every fastText model."""

    def key(row: Row) -> tuple[Any, ...]:
        unlimited = row["limit_bytes"] is None
        return (*set_order(row), unlimited, row["limit_bytes"], row["method"], row["text"], row["autotune_seconds"] or 0)

    body = [
        [
            rows[0]["set"],
            rows[0]["method"] + (f", {rows[0]['autotune_seconds']} s" if rows[0]["autotune_seconds"] else ""),
            rows[0]["text"],
            format_bytes(rows[0]["limit_bytes"]) if rows[0]["limit_bytes"] else NONE,
            sizes(row["size_bytes"] for row in rows),
            percent(row["accuracy"] for row in rows),
            "; ".join(sorted({row["error"] for row in rows if row["error"]})) or NONE,
        ]
        for rows in grouped(results.fasttext, key).values()
    ]
    return table(["data", "method", "text", "asked size", "size", "accuracy, %", "what it said"], body)
