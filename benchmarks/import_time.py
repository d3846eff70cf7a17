"""How long ``import understudy`` and ``understudy --help`` take: median of fresh processes, against an empty interpreter.

Writes ``benchmarks/results/import_time.json``. Limits: 0.3 s and 0.5 s.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "import_time.json"
REPEATS = 15
COMMANDS = {
    "empty interpreter": [sys.executable, "-c", "pass"],
    "import understudy": [sys.executable, "-c", "import understudy"],
    "understudy --help": [str(Path(sys.executable).with_name("understudy")), "--help"],
}


def seconds(command: list[str]) -> list[float]:
    """Return wall-clock seconds of ``REPEATS`` runs, after one that warms the file cache."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return times[1:]


def main() -> None:
    """Measure, print and write."""
    rows = {}
    for name, command in COMMANDS.items():
        times = seconds(command)
        rows[name] = {
            "median_s": round(statistics.median(times), 4),
            "least_s": round(min(times), 4),
            "most_s": round(max(times), 4),
        }
        print(f"{name:20} {rows[name]['median_s']:.3f} s  ({rows[name]['least_s']:.3f} to {rows[name]['most_s']:.3f})")
    RESULT.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "repeats": REPEATS}
    RESULT.write_text(json.dumps({"machine": machine, "seconds": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
