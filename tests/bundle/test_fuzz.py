"""Mutated bundles end in understudy's own errors or open; benchmarks/fuzz_bundle.py has the long run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_bundle.py"


def test_two_hundred_mutants(tmp_path: Path) -> None:
    results = tmp_path / "fuzz.jsonl"
    command = [sys.executable, SCRIPT, "--bundles", "200", "--seed", "7", "--results", results]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    row = json.loads(results.read_text(encoding="utf-8"))
    assert set(row["outcomes"]) == {"bytes", "missing", "fields", "inside"}
    assert sum(sum(outcomes.values()) for outcomes in row["outcomes"].values()) == 200
    assert set(row["outcomes"]["missing"]) == {"BundleError"}
