"""Where every figure comes from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from text import SETS

from tables.markdown import table
from tables.results import Results, Row, configuration, grouped
from understudy.feasibility import DEFAULT_STUDENT
from understudy.units import parse_bytes


def provenance(results: Results) -> str:
    """Return where each figure comes from: the commands and the machines."""
    made = {
        "text.jsonl": (results.text, [_text_command(rows) for rows in grouped(results.text, configuration).values()]),
        "fasttext.jsonl": (results.fasttext, [row["command"] for row in results.fasttext]),
        "latency.jsonl": (results.latency, [row["command"] for row in results.latency]),
        "image_latency.jsonl": (results.image_latency, [row["command"] for row in results.image_latency]),
        "image_peer.jsonl": (results.image_peer, [row["command"] for row in results.image_peer]),
        "file_overhead.jsonl": (results.file_overhead, [row["command"] for row in results.file_overhead]),
        "executorch_latency.jsonl": (results.executorch_latency, [row["command"] for row in results.executorch_latency]),
        "search.jsonl": (results.search, [row["command"] for row in results.search]),
        "raw_text.jsonl": (results.raw_text, [row["command"] for row in results.raw_text]),
        "images.jsonl": (results.images, [row["command"] for row in results.images]),
        "projections.jsonl": (results.projections, [row["command"] for row in results.projections]),
        "image_teaching.jsonl": (results.image_teaching, [row["command"] for row in results.image_teaching]),
        "windows.jsonl": (results.windows, [row["command"] for row in results.windows]),
        "devices.jsonl": (results.devices, [row["command"] for row in results.devices]),
        "arm_runtimes.jsonl": (results.arm_runtimes, [row["command"] for row in results.arm_runtimes]),
        "few_texts.jsonl": (results.few_texts, [row["command"] for row in results.few_texts]),
        "other_sets.jsonl": (results.other_sets, [row["command"] for row in results.other_sets]),
        "pruned.jsonl": (results.pruned, [row["command"] for row in results.pruned]),
        "fuzz_c.jsonl": (results.fuzz_c, [row["command"] for row in results.fuzz_c]),
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
    if row.get("epochs"):
        words += ["--epochs", str(row["epochs"])]
    if row["trials"] > 1:
        words += ["--trials", str(row["trials"])]
    return shlex.join(words)
