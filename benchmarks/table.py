"""Fill the marked sections of docs/benchmarks.md from benchmarks/results; every figure there comes from these files.

    python benchmarks/table.py            # writes the page
    python benchmarks/table.py --check    # exit code 1 if the page is not current

A measurement that was made again replaces the earlier one: of lines that describe the same run, the last one counts.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from records import REPOSITORY, RESULTS
from text import SETS

from understudy.feasibility import DEFAULT_STUDENT
from understudy.units import format_bytes, parse_bytes

PAGE = REPOSITORY / "docs" / "benchmarks.md"
BASELINE = "TF-IDF + logistic regression"
MAJORITY = "majority class"
PIXELS = "pixels + logistic regression"
AUROC_TARGET = 0.90
BUSY_LOAD = 1.5
"""A load average above which times are marked: the measurement itself makes 1."""
NONE = "–"
PROJECTION_FORMATS = ("onnx", "litert", "c", "python")
_SECTION = re.compile(r"(<!-- results: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Mapping[str, Any]


def read(folder: Path, name: str) -> list[Row]:
    """Return the rows of ``name``, in the file's order; none where it was not measured yet."""
    path = folder / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def latest(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[Row]:
    """Return the last row of each key."""
    return list({key(row): row for row in rows}.values())


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Return the rows of each key, keys in order."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return dict(sorted(groups.items()))


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, or a line that says that there is nothing yet."""
    if not body:
        return "Not measured yet."
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(values: Iterable[float | None]) -> str:
    """Return the median of fractions in percent, with least and most where there are several."""
    return _spread(values, lambda value: f"{100 * value:.1f}")


def sizes(values: Iterable[float | None]) -> str:
    """Return the median of bytes, with least and most where they differ."""
    return _spread(values, lambda value: format_bytes(round(value)))


def _spread(values: Iterable[float | None], show: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    middle, least, most = show(statistics.median(known)), show(min(known)), show(max(known))
    return middle if least == most else f"{middle} ({least} to {most})"


def spread_of(found: Mapping[str, float], digits: int) -> str:
    """Return what a latency row holds of one way: median, least and most."""
    return f"{found['median']:.{digits}f} ({found['least']:.{digits}f} to {found['most']:.{digits}f})"


def yes(condition: bool) -> str:
    """Return the condition as a word."""
    return "yes" if condition else "**no**"


def set_order(row: Row) -> tuple[int, str]:
    """Return where the row's set stands."""
    return (list(SETS).index(row["set"]) if row["set"] in SETS else len(SETS), row["set"])


class Results:
    """All rows, each run once."""

    def __init__(self, folder: Path) -> None:
        self.text = latest(read(folder, "text.jsonl"), lambda row: (_configuration(row), row["seed"]))
        self.fasttext = latest(
            read(folder, "fasttext.jsonl"),
            lambda row: (row["set"], row["method"], row["text"], row["limit_bytes"], row["autotune_seconds"], row["seed"]),
        )
        self.latency = latest(read(folder, "latency.jsonl"), lambda row: (row["set"], row["bundle"]))
        self.image_latency = latest(
            read(folder, "image_latency.jsonl"), lambda row: (*row["shape"], row["width"], row["hidden"])
        )
        self.raw_text = latest(
            read(folder, "raw_text.jsonl"), lambda row: (row["set"], row["trained_on"], row["tested_on"], row["seed"])
        )
        self.search = latest(read(folder, "search.jsonl"), lambda row: (row["set"], row["trials"], row["seed"]))
        self.devices = latest(read(folder, "devices.jsonl"), lambda row: (row["set"], row["trials"], row["seed"]))
        self.images = latest(read(folder, "images.jsonl"), lambda row: (_image_configuration(row), row["seed"]))
        self.projections = latest(read(folder, "projections.jsonl"), lambda row: (_projection_configuration(row), row["seed"]))
        self.fuzz_bundle = latest(read(folder, "fuzz_bundle.jsonl"), lambda row: (row["bundles"], row["seed"]))
        imports = folder / "import_time.json"
        self.import_time: Row = json.loads(imports.read_text(encoding="utf-8")) if imports.exists() else {}

    def default_runs(self) -> dict[Any, list[Row]]:
        """Return the runs of the default student at each set's own budget, by configuration."""
        rows = [
            row
            for row in self.text
            if row["student"] == DEFAULT_STUDENT and parse_bytes(row["budget"]) == parse_bytes(SETS[row["set"]].budget)
        ]
        return grouped(rows, _configuration)

    def fasttext_best(self, name: str, budgets: int) -> str:
        """Return fastText's best accuracy at so many budgets, and the size of that file."""
        found = [
            row for row in self.fasttext if row["set"] == name and row["budgets"] == budgets and row["accuracy"] is not None
        ]
        if not found:
            tried = [row for row in self.fasttext if row["set"] == name and row["budgets"] == budgets]
            return "no file" if tried else NONE
        groups = grouped(found, lambda row: (row["method"], row["text"])).values()
        best = max(groups, key=lambda rows: statistics.median(row["accuracy"] for row in rows))
        return f"{percent(row['accuracy'] for row in best)} at {sizes(row['size_bytes'] for row in best)}"


def _taught(row: Row) -> bool:
    return bool(row["teacher"] and row["teacher"]["used"])


def _configuration(row: Row) -> tuple[Any, ...]:
    return (*set_order(row), parse_bytes(row["budget"]), row["student"], row["trials"], row["teacher"] is not None)


def _how(row: Row) -> str:
    """Return the configuration in words, beside the set and the budget."""
    trials = f"{row['trials']} trial" + ("s" if row["trials"] > 1 else "")
    return f"{trials}, {'taught' if _taught(row) else 'no teacher'}"


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
                _how(rows[0]),
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
                    _how(rows[0]),
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
                _how(rows[0]),
                percent(row["accuracy"][next(iter(row["accuracy"]))] for row in rows),
                percent(row["twin_accuracy"] for row in rows),
                _spread(gains, lambda gain: f"{100 * gain:+.1f}"),
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
            _how(rows[0]),
            str(len(rows)),
            percent(min(row["accuracy"].values()) for row in rows),
            percent(row["macro_f1"] for row in rows),
            sizes(max(row["size_bytes"].values()) for row in rows),
            _spread((row["weights"] for row in rows), lambda count: f"{count:,.0f}"),
        ]
        for rows in grouped(results.text, _configuration).values()
    ]
    head = ["data", "budget", "student", "search", "seeds", "accuracy, %", "macro-F1, %", "largest file", "weights"]
    return table(head, body)


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
                _spread((row["first_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
                _spread((row["search_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
                _spread((row["first_longer_seconds"] for row in rows), lambda seconds: f"{seconds:.0f}"),
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
            shown = _spread(found, lambda value: f"{value:.3f}")
            body.append([rows[0]["set"], rows[0]["budget"], _how(rows[0]), str(len(found)), shown, f"{AUROC_TARGET:.2f}", met])
    return table(["data", "budget", "search", "seeds", "AUROC", "target", "met"], body)


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


def latency(results: Results) -> str:
    """Return each bundle's times beside fastText's."""
    parts = []
    for row in sorted(results.latency, key=lambda row: (*set_order(row), row["bundle"])):
        body = [
            [
                way,
                spread_of(us, 2),
                spread_of(row["ratio"][way], 2),
                f"{row['instructions'][way]:,.0f}" if row["instructions"].get(way) else NONE,
                format_bytes(row["size_bytes"][way]) if way in row["size_bytes"] else NONE,
            ]
            for way, us in row["us"].items()
        ]
        load = max(row["load_average"].values())
        busy = (
            " **The machine was busy: the times are indicative, the instructions are not affected.**"
            if load > BUSY_LOAD
            else ""
        )
        runtimes = "; ".join(f"{name}: {version}" for name, version in sorted(row["runtime"].items()))
        heading = (
            f"{row['set']}, {row['bundle']}: {row['texts']} texts of {row['mean_text_bytes']} bytes on average, "
            f"{row['rounds']} rounds, on {row['machine']}; load average {load:.1f}.{busy}"
        )
        parts += [
            heading,
            table(["what", "µs per text", "ratio to fasttext default", "instructions per text", "size"], body),
            f"Runtimes: {runtimes}.",
        ]
        if row.get("ratio_to_c"):  # rows from before the C runtime had more than one build have none
            parts.append(table(["time", "ratio"], [[way, spread_of(us, 2)] for way, us in row["ratio_to_c"].items()]))
            parts.append(f"C is compiled with `{' '.join(row['compile_flags'])}` and the flags behind its name.")
    return "\n\n".join(parts) or "Not measured yet."


def image_latency(results: Results) -> str:
    """Return the C runtime's times and instructions beside LiteRT's, for each shape of image."""
    parts = []
    for row in sorted(results.image_latency, key=lambda row: row["shape"]):
        reference = row["instructions"]["litert reference"]
        body = []
        for way, us in row["us"].items():
            count = row["instructions"].get(way)
            shares = [f"{count:,.0f}", f"{count / reference:.2f}"] if count else [NONE, NONE]
            body.append([way, spread_of(us, 1), spread_of(row["ratio"][way], 2), *shares])
        load = max(row["load_average"].values())
        busy = " **The machine was busy: times are indicative, ratios less so, instructions not.**" if load > BUSY_LOAD else ""
        shape, sizes = "x".join(map(str, row["shape"])), row["size_bytes"]
        heading = (
            f"{shape}, {row['multiplications']:,} multiplications, {format_bytes(sizes['c'])} in C and "
            f"{format_bytes(sizes['litert'])} as `.tflite`; {row['rounds']} rounds on {row['machine']}; "
            f"load average {load:.1f}.{busy}"
        )
        parts += [
            heading,
            table(["what", "µs per image", "ratio to litert", "instructions per image", "ratio to litert reference"], body),
        ]
    return "\n\n".join(parts) or "Not measured yet."


def devices(results: Results) -> str:
    """Return what one model does on emulated cores: exactness, instructions, flash and RAM of the whole firmware."""
    found = [(row, each) for row in results.devices for each in row["measurements"]]
    order = {each["target"]: i for i, (_, each) in enumerate(found)}

    def key(pair: tuple[Row, Row]) -> tuple[Any, ...]:
        return (*set_order(pair[0]), order[pair[1]["target"]])

    body = []
    for pairs in grouped(found, key).values():
        rows, measured = [row for row, _ in pairs], [each for _, each in pairs]
        differing = sum(each["differing"] for each in measured)
        body.append(
            [
                rows[0]["set"],
                measured[0]["target"],
                str(len(rows)),
                percent(row["accuracy"] for row in rows),
                f"{sum(each['texts'] for each in measured):,}",
                f"{'yes' if all(each['exact'] for each in measured) else '**no**'}, {differing} labels differ",
                sizes(each["flash_bytes"] for each in measured),
                sizes(each["ram_bytes"] for each in measured),
                _spread((each["instructions"] for each in measured), lambda value: f"{value / 1e6:.2f}"),
                _spread((each["latency_us"] and each["latency_us"]["median"] / 1e3 for each in measured), lambda v: f"{v:.0f}"),
            ]
        )
    head = ["data", "target", "seeds", "accuracy, %", "texts", "exact", "flash", "RAM"]
    return table([*head, "million instructions, median text", "**estimated** ms"], body)


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


def import_time(results: Results) -> str:
    """Return how long a start takes."""
    body = [
        [name, f"{found['median_s']:.3f}", f"{found['least_s']:.3f} to {found['most_s']:.3f}"]
        for name, found in results.import_time.get("seconds", {}).items()
    ]
    return table(["command", "seconds, median", "spread"], body)


def _image_configuration(row: Row) -> tuple[Any, ...]:
    return (row["set"], parse_bytes(row["budget"]), row["trials"], row["epochs"] or 0, row["teacher"] is not None)


def images(results: Results) -> str:
    """Return what image students reached, every format by itself, beside their baselines."""
    body = []
    for rows in grouped(results.images, _image_configuration).values():
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


def _projection_configuration(row: Row) -> tuple[Any, ...]:
    return (row["set"], row["student"], row["weights"], row["candidates"] == 0, row["steps"])


def projections(results: Results) -> str:
    """Return what projection students of published shapes reached, with the bytes of their files beside."""
    body = []
    for rows in grouped(results.projections, _projection_configuration).values():
        row, reached = rows[0], statistics.median(row["accuracy"] for row in rows)
        mined = f"best of {row['candidates']}" if row["candidates"] else "the first"
        body.append(
            [
                row["set"],
                row["student"],
                row["shape"],
                f"{row['weights']:,}",
                mined if row["student"] == "projection_net" else "the first, of what convolutions found",
                str(len(rows)),
                percent(row["accuracy"] for row in rows),
                NONE if row["published"] is None else f"{100 * row['published']:.1f}",
                NONE if row["asked"] is None else f"{100 * row['asked']:.1f}",
                NONE if row["asked"] is None else yes(reached >= row["asked"]),
                *(sizes(found["files"][name]["size_bytes"] for found in rows) for name in row["files"]),
                f"{100 * min(file['agreement'] for found in rows for file in found['files'].values()):.2f}",
            ]
        )
    head = [
        "data",
        "student",
        "bits and hidden",
        "learned numbers",
        "rows",
        "seeds",
        "accuracy, %",
        "published",
        "target",
        "met",
    ]
    return table([*head, *PROJECTION_FORMATS, "least agreement, %"], body)


def fuzz_bundle(results: Results) -> str:
    """Return how mutated bundles ended in the loader, all runs together."""
    found: dict[str, Counter[str]] = {}
    for row in results.fuzz_bundle:
        for kind, outcomes in row["outcomes"].items():
            found.setdefault(kind, Counter()).update(outcomes)
    if found:
        found["all"] = sum(found.values(), Counter())
    body = [
        [kind, f"{ends.total():,}", f"{ends.total() - ends['answers']:,}", f"{ends['answers']:,}", "0"]
        for kind, ends in found.items()
    ]
    return table(["changed", "bundles", "refused in one line", "opened", "any other error"], body)


def provenance(results: Results) -> str:
    """Return where each figure comes from: the commands and the machines."""
    made = {
        "text.jsonl": (results.text, [_text_command(rows) for rows in grouped(results.text, _configuration).values()]),
        "fasttext.jsonl": (results.fasttext, [row["command"] for row in results.fasttext]),
        "latency.jsonl": (results.latency, [row["command"] for row in results.latency]),
        "image_latency.jsonl": (results.image_latency, [row["command"] for row in results.image_latency]),
        "search.jsonl": (results.search, [row["command"] for row in results.search]),
        "raw_text.jsonl": (results.raw_text, [row["command"] for row in results.raw_text]),
        "images.jsonl": (results.images, [row["command"] for row in results.images]),
        "projections.jsonl": (results.projections, [row["command"] for row in results.projections]),
        "devices.jsonl": (results.devices, [row["command"] for row in results.devices]),
        "fuzz_bundle.jsonl": (results.fuzz_bundle, [row["command"] for row in results.fuzz_bundle]),
    }
    body = [
        [name, command, "; ".join(sorted({row["machine"] for row in rows}))]
        for name, (rows, commands) in made.items()
        for command in dict.fromkeys(f"`{command}`" for command in commands)
    ]
    if results.import_time:
        found = results.import_time["machine"]
        body.append(["import_time.json", "`python benchmarks/import_time.py`", f"{found['machine']}, Python {found['python']}"])
    return table(["file", "command", "machine"], body)


def _text_command(rows: Sequence[Row]) -> str:
    """Return the command that makes ``rows``, runs of one configuration."""
    row, seeds = rows[0], sorted(row["seed"] for row in rows)
    words = ["python", "benchmarks/text.py", "--set", row["set"], "--seeds", str(seeds[-1] - seeds[0] + 1)]
    if seeds[0] != 1:
        words += ["--first-seed", str(seeds[0])]
    if parse_bytes(row["budget"]) != parse_bytes(SETS[row["set"]].budget):
        words += ["--budget", row["budget"]]
    if row["student"] != DEFAULT_STUDENT:
        words += ["--student", row["student"]]
    if row["teacher"] is None:
        words += ["--teacher", "none"]
    if row["trials"] > 1:
        words += ["--trials", str(row["trials"])]
    return shlex.join(words)


SECTIONS: dict[str, Callable[[Results], str]] = {
    "targets": targets,
    "files": files,
    "teaching": teaching,
    "out_of_scope": out_of_scope,
    "students": students,
    "search": search,
    "fasttext": fasttext,
    "latency": latency,
    "image_latency": image_latency,
    "devices": devices,
    "raw_text": raw_text,
    "images": images,
    "projections": projections,
    "import_time": import_time,
    "fuzz_bundle": fuzz_bundle,
    "provenance": provenance,
}


def render(page: str, results: Results) -> str:
    """Return ``page`` with every marked section filled anew."""
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found['name']](results)}\n\n{found[3]}", page)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the measurements")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    before = arguments.page.read_text(encoding="utf-8")
    after = render(before, Results(arguments.results))
    if arguments.check:
        if before != after:
            print(f"{arguments.page.name} is not current; run: python benchmarks/table.py", file=sys.stderr)
        return int(before != after)
    arguments.page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
