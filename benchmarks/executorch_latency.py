"""Microseconds for one image in ExecuTorch, batch 1, one thread: XNNPACK's layers beside portable kernels.

    python benchmarks/executorch_latency.py

Each network appends one JSON line to benchmarks/results/executorch_latency.jsonl: the image student with 8-bit weights, and two
networks with branches and with activations as tables, all with random numbers, which no kernel's time depends on. All files are
timed in turn, round after round; a figure is the mean over the images in one round, of which the row holds median, least and
most, and a ratio is one of two times of the same round. The clock stands in Python around a prediction.

Before anything is measured, every file must give the interpreter's integer logits for every image.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from image_latency import student
from latency import in_turn, processor, spread, timer_outside
from records import RESULTS, append, command, machine

from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.program.ops import Program
from understudy.testing.image_programs import branched_program, gated_program

ROWS = RESULTS / "executorch_latency.jsonl"
FORMATS = ("executorch", "executorch_xnnpack", "litert")
REFERENCE = "executorch"
IMAGES = 50


def networks() -> dict[str, Program]:
    """Return what is timed by name."""
    return {
        "separable_cnn, 28x28x1": student((28, 28, 1)),
        "separable_cnn, 32x32x3": student((32, 32, 3)),
        "sums and concatenations, 32x32x3": branched_program(shape=(32, 32, 3), channels=32),
        "tables and gates, 32x32x3": gated_program(shape=(32, 32, 3), channels=32),
    }


def measure(name: str, program: Program, *, rounds: int, folder: Path) -> dict[str, object]:
    """Return the row of one network."""
    images = np.random.default_rng(1).integers(0, 256, (IMAGES, *program.source.input_shape)).astype(np.uint8)
    timers, sizes = {}, {}
    for word in FORMATS:
        for filename, content in exporter(word).export(program, name="bench").items():
            (folder / filename).write_bytes(content)
            sizes[word] = len(content)
        session = exporter(word).open(folder, name="bench")
        result = verify_file(program, session, images)
        if not result.verified:
            raise SystemExit(f"a file gives the interpreter's logits: received format={word!r} ({result.reason})")
        timers[word] = timer_outside(session, images)
    load_before = os.getloadavg()[0]
    taken = in_turn(timers, rounds)
    ratio = {way: spread([a / b for a, b in zip(us, taken[REFERENCE], strict=True)]) for way, us in taken.items()}
    return {
        "network": name,
        "multiplications": sum(
            layer.weight.size * int(np.prod(program.shapes()[layer.output][:-1], dtype=int)) for layer in program.layers
        ),
        "size_bytes": sizes,
        "rounds": rounds,
        "us": {way: spread(us) for way, us in taken.items()},
        "ratio": ratio,
        "load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "machine": f"{processor()}, {machine()}",
        "command": command(),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--results", type=Path, default=ROWS)
    arguments = parser.parse_args()
    for name, program in networks().items():
        with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
            row = measure(name, program, rounds=arguments.rounds, folder=Path(temporary))
        append(arguments.results, row)
        print(json.dumps({key: row[key] for key in ("network", "us", "ratio", "size_bytes")}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
