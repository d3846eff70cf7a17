"""A delivered model of CIFAR-10 beside MLPerf Tiny's ResNet-8, both in LiteRT: accuracy on the same images, time of one.

    python benchmarks/images.py --set cifar10 --seeds 1 --epochs 100 --precision bfloat16 --out runs/cifar10
    python benchmarks/image_peer.py --bundle runs/cifar10/cifar10-96KB-1/96KB

LiteRT runs every file with its default kernels (XNNPACK), batch 1, one thread. All are timed in turn, round after round; a
figure is the median over the images in one round, of which the row holds median, least and most, and a ratio is one of two
times of the same round. The clock stands in Python around ``invoke`` alone. The test images are the first 1,000, without loss;
they choose nothing here. Appends a JSON line to benchmarks/results/image_peer.jsonl. Images and peers stand in ../shared, which
most machines lack.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from image_latency import XNNPACK, litert_interpreter, timer_of_invoke
from images import SETS
from latency import in_turn, processor, spread
from records import DATA, RESULTS, append, command, data_is_here, machine

from understudy.bundle.opened import Bundle

PEERS = {
    "ResNet-8, int8": DATA.parent / "models" / "mlperf_tiny" / "pretrainedResnet_quant.tflite",
    "ResNet-8, float": DATA.parent / "models" / "mlperf_tiny" / "pretrainedResnet.tflite",
}
REFERENCE = "ResNet-8, int8"
TIMED_IMAGES = 300


def as_read(interpreter: Any, pixels: Any) -> Any:
    """Return uint8 ``pixels`` as the file reads them: raw values 0 to 255, of which int8 files want 128 less."""
    wanted = interpreter.get_input_details()[0]["dtype"]
    return (pixels.astype(np.int16) - 128).astype(np.int8) if wanted is np.int8 else pixels.astype(wanted)


def accuracy(interpreter: Any, images: Any, labels: Any) -> float:
    """Return the share of ``images`` for which the file says ``labels``."""
    [details], [scores] = interpreter.get_input_details(), interpreter.get_output_details()
    right = 0
    for image, label in zip(images, labels, strict=True):
        interpreter.set_tensor(details["index"], image[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(scores["index"])[0].argmax() == label)
    return right / len(labels)


def measure(bundle: Path, *, rounds: int) -> dict[str, object]:
    """Return the row of the LiteRT file in ``bundle``."""
    opened = Bundle.open(bundle)
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        arrays = np.load(SETS["cifar10"].source(Path(temporary)))
        pixels, labels = arrays["x_test"], arrays["y_test"]
    ours = f"understudy, {opened.manifest.recipe['student']}"
    files = {ours: bundle / "model.tflite", **PEERS}
    if opened.labels != tuple(map(str, range(10))):
        raise SystemExit(f"this bundle's classes are CIFAR-10's by number: received labels={opened.labels}")
    interpreters = {name: litert_interpreter(path, XNNPACK) for name, path in files.items()}
    inputs = {name: as_read(found, pixels) for name, found in interpreters.items()}
    reached = {name: accuracy(found, inputs[name], labels) for name, found in interpreters.items()}
    load_before = os.getloadavg()[0]
    timers = {name: timer_of_invoke(found, inputs[name][:TIMED_IMAGES]) for name, found in interpreters.items()}
    taken = in_turn(timers, rounds)
    return {
        "set": "cifar10",
        "test_images": len(labels),
        "accuracy": reached,
        "size_bytes": {name: path.stat().st_size for name, path in files.items()},
        "rounds": rounds,
        "us": {name: spread(us) for name, us in taken.items()},
        "ratio": {
            name: spread([mine / theirs for mine, theirs in zip(us, taken[REFERENCE], strict=True)])
            for name, us in taken.items()
        },
        "load_average": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "machine": f"{processor()}, {machine()}",
        "command": command(),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS / "image_peer.jsonl")
    arguments = parser.parse_args()
    if not data_is_here():
        return 1
    row = measure(arguments.bundle, rounds=arguments.rounds)
    append(arguments.results, row)
    print(json.dumps({key: row[key] for key in ("accuracy", "us", "ratio")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
