"""Microseconds and instructions for one image, batch 1, one thread: the C runtime beside LiteRT.

    python benchmarks/image_latency.py                  # both shapes below
    python benchmarks/image_latency.py --shape 28,28,1  # one of them, or another

Each shape appends one JSON line to benchmarks/results/image_latency.jsonl. The program is the image student with 8-bit weights
and random numbers: no instruction of either runtime depends on what the numbers are. Everything is timed in turn, round after
round; a figure is the median over the images in one round, of which the row holds median, least and most.

- ``c``: the clock stands in C around each call. The flags behind it are those of the build; without any, x86-64 takes the best
  vectors of the processor when it runs. The row says what each took.
- ``litert``: the interpreter with XNNPACK, its default, on one thread. The clock stands in Python around ``invoke`` alone,
  without setting the input and reading the output.
- Instructions, where valgrind is installed: what 110 images take more than 10, so that starting and loading cancel out, both
  for C and for the interpreter in Python. ``litert reference`` has LiteRT's plain kernels. valgrind does not know AVX-512, so
  that ``-march=native`` has no figure, and XNNPACK and the default build of C take their AVX2 kernels.

Before anything is measured, C must give the interpreter's logits for every image.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from latency import (
    C_BUILDS,
    Timer,
    compiled_with,
    in_turn,
    instructions_of_lines,
    processor,
    program_flags,
    spread,
    units_taken,
)
from records import RESULTS, append, command, machine

from understudy.compression.quantize.shape import quantized_shape
from understudy.export.c_session import COMPILE_FLAGS, CSession, c_compiler
from understudy.export.registry import exporter
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

ROWS = RESULTS / "image_latency.jsonl"
SHAPES = ((28, 28, 1), (32, 32, 3))
WIDTH, HIDDEN, CLASSES = 24, 72, 10
"""A student of 13 KB, as the search makes them for 16 KB with 8-bit weights."""
IMAGES = 100
FEWER = 10
"""Images of the run that is subtracted."""
REFERENCE = "litert"
XNNPACK, PLAIN_KERNELS = "AUTO", "BUILTIN_REF"
"""Operator resolvers of the LiteRT interpreter."""

Images = npt.NDArray[np.uint8]

_MAIN = """\
#include <stdio.h>
#include "model.h"

int main(int argc, char **argv) {
    static uint8_t pixels[US_BENCH_PIXELS];
    static float scores[US_BENCH_CLASSES];
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    int sum = 0;
    if (file == NULL) {
        return 1;
    }
    while (fread(pixels, 1, sizeof pixels, file) == sizeof pixels) {
        sum += us_bench_predict(pixels, sizeof pixels, scores);
    }
    printf("%d\\n", sum);
    return fclose(file);
}
"""

_INVOKE = """\
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1, experimental_op_resolver_type=OpResolverType[sys.argv[2]])
interpreter.allocate_tensors()
[details] = interpreter.get_input_details()
for image in np.fromfile(sys.argv[3], np.uint8).reshape(-1, *details["shape"]):
    interpreter.set_tensor(details["index"], image)
    interpreter.invoke()
"""


def student(shape: tuple[int, ...]) -> Program:
    """Return the integer program whose images are timed."""
    height, width, channels = shape
    recipe = Recipe(student="separable_cnn", width=WIDTH, hidden=HIDDEN, image_shape=(height, width, channels))
    return quantized_shape(build_student(recipe, classes=CLASSES, seed=1))


def litert_interpreter(path: Path, resolver: str) -> Any:
    """Return an interpreter of the file, ready to run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=OpResolverType[resolver])
    interpreter.allocate_tensors()
    return interpreter


def timer_inside(session: CSession, images: Images) -> Timer:
    """Return the timer of a C session, which measures inside itself."""
    return lambda: float(np.median(session.time_us(images, 1)))


def timer_of_invoke(interpreter: Any, images: Images) -> Timer:
    """Return the timer of ``invoke`` alone."""
    [details] = interpreter.get_input_details()

    def measure() -> float:
        seconds = []
        for index in range(len(images)):
            interpreter.set_tensor(details["index"], images[index : index + 1])
            begin = time.perf_counter()
            interpreter.invoke()
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds) * 1e6

    return measure


def compile_images(folder: Path, program: Path) -> Path:
    """Return a program that answers every image of a file, built from the header in ``folder``."""
    source = program.with_suffix(".c")
    source.write_text(_MAIN, encoding="utf-8")
    subprocess.run([*c_compiler(), *program_flags(), "-I", str(folder), "-o", str(program), str(source)], check=True)
    return program


def measure(shape: tuple[int, ...], *, rounds: int, folder: Path) -> dict[str, object]:
    """Return the row of one shape."""
    program = student(shape)
    for format_name in ("c", "litert"):
        for name, content in exporter(format_name).export(program, name="bench").items():
            (folder / name).write_bytes(content)
    images = np.random.default_rng(1).integers(0, 256, (FEWER + IMAGES, *shape)).astype(np.uint8)
    files = {"fewer": folder / "fewer.bin", "more": folder / "more.bin"}
    files["fewer"].write_bytes(images[:FEWER].tobytes())
    files["more"].write_bytes(images.tobytes())
    expected = run(program, images).logits

    timers: dict[str, Timer] = {}
    instructions: dict[str, float | None] = {}
    for number, (build, flags) in enumerate(C_BUILDS.items()):
        with compiled_with(flags):
            session = exporter("c").open(folder, name="bench")
            answers = compile_images(folder, folder / f"images{number}")
        assert isinstance(session, CSession)
        if not np.array_equal(session.logits(images), expected):
            raise SystemExit(f"C gives the interpreter's logits: received others from the build {build!r}")
        timers[f"c{build}"] = timer_inside(session, images)
        if "native" not in build:
            instructions[f"c{build}"] = instructions_of_lines([answers], files["fewer"], files["more"], texts=IMAGES)
    for way, resolver in ((REFERENCE, XNNPACK), (f"{REFERENCE} reference", PLAIN_KERNELS)):
        timers[way] = timer_of_invoke(litert_interpreter(folder / "model.tflite", resolver), images)
        call = [sys.executable, "-c", _INVOKE, folder / "model.tflite", resolver]
        instructions[way] = instructions_of_lines(call, files["fewer"], files["more"], texts=IMAGES)

    load_before = os.getloadavg()[0]
    taken = in_turn(timers, rounds)
    load_after = os.getloadavg()[0]
    return {
        "shape": list(shape),
        "width": WIDTH,
        "hidden": HIDDEN,
        "multiplications": sum(
            layer.weight.size * int(np.prod(program.shapes()[layer.output][:-1], dtype=int)) for layer in program.layers
        ),
        "size_bytes": {name: sum(n for _, n in exporter(name).byte_table(program, name="bench")) for name in ("c", "litert")},
        "rounds": rounds,
        "us": {way: spread(us) for way, us in taken.items()},
        "ratio": {
            way: spread([mine / theirs for mine, theirs in zip(us, taken[REFERENCE], strict=True)]) for way, us in taken.items()
        },
        "instructions": instructions,
        "compile_flags": list(COMPILE_FLAGS),
        "units": units_taken(folder, folder),
        "load_average": {"before": round(load_before, 2), "after": round(load_after, 2)},
        "machine": f"{processor()}, {machine()}",
        "command": command(),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", help="height,width,channels; default: all that the page shows")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=ROWS)
    arguments = parser.parse_args()
    shapes = [tuple(int(size) for size in arguments.shape.split(","))] if arguments.shape else SHAPES
    for shape in shapes:
        with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
            row = measure(shape, rounds=arguments.rounds, folder=Path(temporary))
        append(arguments.results, row)
        print(json.dumps({"us": row["us"], "ratio": row["ratio"], "instructions": row["instructions"]}, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
