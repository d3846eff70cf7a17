"""Bytes of each integer format's file that are not weights: what operators, tensors and the runtime's own code take.

    python benchmarks/file_overhead.py

One student of each kind with random numbers, which sizes do not depend on. "Weights" are all weights in their bits, and for
each output of a layer four bytes of bias and, with a scale per channel, four of scale; everything else that counts against a
budget is beside them, projection constants and tables too. Exact, and the same on every machine.
Writes benchmarks/results/file_overhead.jsonl anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from records import RESULTS, append, command, machine

from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import exporter
from understudy.formats import FLOAT_FORMATS, FORMATS
from understudy.program.ops import Program
from understudy.projections.log_mel import LogMel
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

CLASSES = 10
SECOND = {rate: LogMel(rate, rate) for rate in (8000, 16_000)}
"""Sounds of one second."""
STUDENTS = {
    "texts": Recipe("projection_sequence", features=192, width=64, hidden=64, weight_bits=4, max_bytes=128, max_words=24),
    "images": Recipe("separable_cnn", width=12, hidden=36, weight_bits=4, image_shape=(28, 28, 1)),
    "numbers": Recipe("mlp", width=32, hidden=32, weight_bits=4, input_shape=(13,)),
    **{
        f"sounds, {rate // 1000} kHz": Recipe(
            "separable_cnn", width=12, hidden=36, weight_bits=4, image_shape=picture.shape, sound=(rate, rate)
        )
        for rate, picture in SECOND.items()
    },
    "pictures of sounds": Recipe("separable_cnn", width=12, hidden=36, weight_bits=4, image_shape=SECOND[8000].shape),
}
"""The last reads the picture that the student above it makes: the difference is what making it takes."""


def weight_bytes(program: Program) -> int:
    """Return the bytes of all weights in their bits, and of biases and scales per channel."""
    total = 0
    for layer in program.layers:
        outputs = len(layer.weight)
        total += -(-layer.weight.size * layer.bits // 8)
        total += 4 * outputs * ((layer.bias is not None) + layer.per_channel)
    return total


def main() -> int:
    """Measure every student in every format that takes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "file_overhead.jsonl")
    arguments = parser.parse_args()
    arguments.results.unlink(missing_ok=True)
    for kind, recipe in STUDENTS.items():
        program = quantized_shape(build_student(recipe, classes=CLASSES, seed=1))
        weights = weight_bytes(program)
        words = [word for word in FORMATS if word not in FLOAT_FORMATS]
        sizes = {word: sum(count for _, count in exporter(word).byte_table(program, name="model")) for word in words}
        row = {"kind": kind, "student": recipe.student, "operators": len(program.nodes), "weight_bytes": weights}
        append(arguments.results, {**row, "size_bytes": sizes, "command": command(), "machine": machine()})
        print(kind, weights, {word: size - weights for word, size in sizes.items()}, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
