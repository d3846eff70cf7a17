"""docs/benchmarks.md holds what the measurements in benchmarks/results say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "table.py"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
RUN = {
    "set": "trec",
    "budget": "32KB",
    "student": "projection_sequence",
    "trials": 1,
    "agreement": {"onnx": 1.0, "c": 1.0},
    "size_bytes": {"onnx": 32_000, "c": 20_000},
    "macro_f1": 0.9,
    "twin_accuracy": 0.91,
    "teacher": {"used": True, "accuracy": 0.95, "size_bytes": 2_000_000},
    "baselines": {"majority class": 0.2, "TF-IDF + logistic regression": 0.912},
    "auroc": None,
    "weights": 30_000,
    "machine": "x86_64, 2 cores",
}


def table(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_the_page_is_current() -> None:
    result = table("--check")
    assert result.returncode == 0, result.stderr


def test_the_page_holds_medians_and_the_last_measurement_of_each_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    measured = [(1, 0.5), (2, 0.93), (3, 0.94), (1, 0.925)]
    lines = [json.dumps({**RUN, "seed": seed, "accuracy": {"onnx": value, "c": value + 0.01}}) for seed, value in measured]
    (tmp_path / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")

    assert table("--results", tmp_path, "--page", page).returncode == 0
    sections = dict(re.findall(r"<!-- results: (\w+) -->\n(.*?)<!-- end -->", page.read_text(encoding="utf-8"), re.DOTALL))
    assert (
        "| trec | 32KB | 1 trial, taught | 3 | 93.0 (92.5 to 94.0) | 92.0 | yes | 91.2 | yes | – | – |" in sections["targets"]
    )
    assert "| trec | c | 1 trial, taught | 94.0 (93.5 to 95.0) | 19.5 KB | yes | 100.00 |" in sections["files"]
    assert "+2.0 (+1.5 to +3.0)" in sections["teaching"]
    assert "python benchmarks/text.py --set trec --seeds 3" in sections["provenance"]
    assert "Not measured yet." in sections["fasttext"]
    assert table("--check", "--results", tmp_path, "--page", page).returncode == 0
    assert table("--check", "--results", tmp_path / "nothing", "--page", page).returncode == 1
