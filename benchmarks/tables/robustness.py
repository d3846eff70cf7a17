"""What mutated files came to, and files on other processors."""

from __future__ import annotations

from collections import Counter

from tables.markdown import table
from tables.results import Results


def fuzz_c(results: Results) -> str:
    """Return what the C runtime was fed under the sanitizers; a run that met a fault, or builds that differ, has no row."""
    body = [
        [row["model"], f"{row['inputs']:,}", ", ".join(f"`{build}`" for build in row["builds"]), "0", "yes"]
        for row in results.fuzz_c
    ]
    return table(["model", "inputs for each build", "builds", "faults", "every logit the same"], body)


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


def arm_runtimes(results: Results) -> str:
    """Return whether graph files answer on Arm as they do here."""
    body = [
        [
            row["processor"],
            f"{row['runtime']} ({row['version']})",
            f"{row['files']:,}",
            f"{row['inputs']:,}",
            "yes" if not row["differing_files"] else f"**no**, {row['differing_files']:,} files",
            f"{row['differing_labels']:,}",
            f"{row['worst_difference']:.2g}",
        ]
        for row in results.arm_runtimes
    ]
    return table(
        ["processor", "runtime", "files", "inputs", "exact", "labels that differ", "largest difference of a score"],
        body,
    )
