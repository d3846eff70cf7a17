"""Feed the C runtime random bytes under the sanitizers, and compare its builds with each other.

    python benchmarks/fuzz_c.py                      # ten million texts of the smallest model, about an hour
    python benchmarks/fuzz_c.py --inputs 20000       # fewer
    python benchmarks/fuzz_c.py --program image      # images of the smallest model for them; boxes: of one with a projection
    python benchmarks/fuzz_c.py --inputs 200000 --bundle runs/intents/32KB     # a model that was shipped

One driver is compiled once for each build: plain C, and every vector unit that this machine has. It makes inputs from a seed
(random bytes, words, long words, and mutations of the input before), each in memory of exactly its length, so that a read past
the end is seen. Images are such bytes too. Address and undefined-behaviour sanitizers stop it at the first fault. Its last line
is a checksum of every logit: builds that differ in one logit of one input differ in it. Exit code 1 names the build that failed
or differs; a run in which all agree appends a JSON line to benchmarks/results/fuzz_c.jsonl.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from records import RESULTS, append, command, machine

from understudy.bundle.opened import Bundle
from understudy.export.c import CExporter
from understudy.export.c_session import c_compiler
from understudy.program.ops import (
    Concat,
    Conv,
    DepthwiseConv,
    Image,
    Linear,
    MaxPool,
    Program,
    ProjectText,
    Quantization,
    Softmax,
    SumPool,
    Window,
)
from understudy.projections.text import FeatureGroup, TextProjection
from understudy.testing.image_programs import box_program

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PLAIN = ("-DUS_VECTOR=0",)

_DRIVER = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

static uint64_t state = SEED;

static uint32_t draw(uint32_t limit) { /* xorshift64*, Vigna 2016 */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545F4914F6CDD1Dull) >> 32) % limit;
}

int main(void) {
    static const char letters[] = "aaeeiioottnnsrhldcumABCXYZ0129 \\t,.-!'\\xc3\\xa9\\xff\\x7f";
#ifdef US_FUZZ_PIXELS
    static uint8_t text[US_FUZZ_PIXELS];
#else
    static uint8_t text[2 * US_FUZZ_MAX_BYTES];
#endif
    static float scores[US_FUZZ_CLASSES];
    size_t length = 0;
    uint64_t checksum = 14695981039346656037ull; /* FNV-1a */
    for (unsigned long n = 0; n < INPUTS; n++) {
        const uint32_t kind = draw(4);
        uint8_t *exact;
        int label;
        if (kind < 3 || n == 0) {
#ifdef US_FUZZ_PIXELS
            length = sizeof text;
#else
            length = draw(draw(8) ? US_FUZZ_MAX_BYTES : sizeof text);
#endif
        }
        for (size_t i = 0; i < length; i++) {
            if (kind == 0) {
                text[i] = (uint8_t)draw(256);
            } else if (kind == 1) {
                text[i] = (uint8_t)letters[draw(sizeof letters)];
            } else if (kind == 2) {
                text[i] = (uint8_t)('a' + draw(26));
            } else if (draw(16) == 0) {
                text[i] = (uint8_t)draw(256);
            }
        }
        exact = malloc(length > 0 ? length : 1);
        if (exact == NULL) {
            return 2;
        }
        memcpy(exact, text, length);
        label = us_fuzz_predict(exact, length, scores);
        free(exact);
        if (label < 0 || label >= US_FUZZ_CLASSES) {
            printf("label %d of input %lu\\n", label, n);
            return 1;
        }
        for (size_t c = 0; c < US_FUZZ_CLASSES; c++) {
            checksum = (checksum ^ (uint8_t)us_fuzz_scores.logits[c]) * 1099511628211ull;
            if (!(scores[c] >= 0 && scores[c] <= 1.0001f)) {
                printf("score %g of input %lu\\n", (double)scores[c], n);
                return 1;
            }
        }
    }
    printf("%016llx\\n", (unsigned long long)checksum);
    return 0;
}
"""


def smallest_program() -> Program:
    """Return a program of the default student's shape with the least of everything, and random weights."""
    rng = np.random.default_rng(1)
    projection = TextProjection((FeatureGroup("character", 16),), max_bytes=32, max_words=6, values="ternary", seed=3)

    def linear(source: str, target: str, shape: tuple[int, int], *, relu: bool, bias: bool) -> Linear:
        weight = rng.integers(-7, 8, shape).astype(np.int8)
        biases = rng.integers(-99, 99, shape[0]).astype(np.int32) if bias else None
        return Linear(source, target, weight, biases, relu, 4, False, np.array([0.05], np.float32))

    nodes = (
        ProjectText("bytes", "features", projection),
        linear("features", "tokens", (6, 16), relu=True, bias=False),
        Window("tokens", "windows", 3),
        linear("windows", "context", (6, 18), relu=True, bias=False),
        MaxPool("context", "largest"),
        SumPool("context", "total", 0.25),
        Concat(("total", "largest"), "pooled"),
        linear("pooled", "logits", (5, 12), relu=False, bias=True),
        Softmax("logits", "probabilities"),
    )
    hidden = Quantization(float(np.float32(0.02)), -128)
    scheme = dict.fromkeys(("tokens", "windows", "context", "largest", "total", "pooled"), hidden)
    scheme["logits"] = replace(hidden, scale=float(np.float32(0.05)), zero_point=3)
    return Program(nodes, {"features": Quantization(1.0, 0)} | scheme)


def smallest_image_program() -> Program:
    """Return a program of the image student's shape with the least of everything, random weights and odd sizes."""
    rng = np.random.default_rng(1)
    shape, channels = (5, 6, 1), 3

    def numbers(*sizes: int) -> dict[str, Any]:
        return {
            "weight": rng.integers(-127, 128, sizes).astype(np.int8),
            "bias": rng.integers(-99, 999, sizes[0]).astype(np.int32),
            "weight_scale": np.array([0.02 / np.prod(sizes[1:]) ** 0.5], np.float32),
            "relu": True,
        }

    nodes = (
        Image("pixels", "image", shape),
        Conv("image", "stem", stride=2, padding=(1, 0, 1, 1), **numbers(channels, 3, 3, 1)),
        DepthwiseConv("stem", "spread", stride=1, padding=(1, 1, 1, 1), **numbers(channels, 3, 3)),
        Linear("spread", "mixed", bits=8, **numbers(5, channels)),
        MaxPool("mixed", "largest"),
        SumPool("mixed", "total", 0.25),
        Concat(("total", "largest"), "pooled"),
        Linear("pooled", "logits", **(numbers(4, 10) | {"relu": False})),
        Softmax("logits", "probabilities"),
    )
    scheme = {node.output: Quantization(float(np.float32(0.01)), -128) for node in nodes}
    scheme["logits"] = Quantization(float(np.float32(0.02)), 3)
    return Program(nodes, scheme | {"image": Image.quantization})


def smallest_box_program() -> Program:
    """Return a program with a projection behind a convolution, of odd sizes."""
    return box_program(shape=(9, 7, 2), channels=3, rows=(65535, *range(30)), hidden=5, classes=3)


PROGRAMS: dict[str, Callable[[], Program]] = {
    "text": smallest_program,
    "image": smallest_image_program,
    "boxes": smallest_box_program,
}


def vector_builds() -> list[tuple[str, ...]]:
    """Return compiler flags for every vector unit that this machine can run; the first is the compiler's default.

    On x86-64 that one holds several and takes the best when it runs; the next two take each of the others.
    """
    cpuinfo = Path("/proc/cpuinfo")
    features = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    builds: list[tuple[str, ...]] = [()]
    if platform.machine() == "x86_64":
        wanted: dict[tuple[str, ...], set[str]] = {
            ("-DUS_WIDEST=32",): {"avx2"},
            ("-DUS_VECTOR=16",): {"sse2"},
            ("-mssse3", "-DUS_VECTOR=16"): {"ssse3"},
            ("-mavx2",): {"avx2"},
            ("-mavx512bw", "-mavx512vl"): {"avx512bw", "avx512vl"},
            ("-mavx512bw", "-mavx512vl", "-mavx512vnni"): {"avx512bw", "avx512vl", "avx512_vnni"},
        }
        builds += [flags for flags, needs in wanted.items() if needs <= features]
        if "avx_vnni" in features:
            builds.append(("-mavx2", "-mavxvnni"))
    elif platform.machine() == "aarch64" and "asimddp" in features:
        builds.append(("-march=armv8.2-a+dotprod",))
    return builds


def fuzz(program: Program, flags: tuple[str, ...], *, inputs: int, seed: int, folder: Path) -> str:
    """Return the checksum of all logits of ``inputs`` random inputs.

    Raises:
        SystemExit: the build does not compile, a sanitizer stopped it, or an answer was out of range.
    """
    for name, content in CExporter().export(program, name="fuzz").items():
        (folder / name).write_bytes(content)
    (folder / "fuzz.c").write_text(_DRIVER, encoding="utf-8")
    defines = (f"-DINPUTS={inputs}ul", f"-DSEED={seed}ull")
    command = [*c_compiler(), "-std=c99", "-O1", "-g", *SANITIZERS, *flags, *defines, "fuzz.c", "-o", "fuzz"]
    for call in (command, [str(folder / "fuzz")]):
        done = subprocess.run(call, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"flags={' '.join(flags)!r} failed: {(done.stderr or done.stdout)[:4000]}")
    return done.stdout.strip()


def main() -> int:
    """Run every build and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--program", choices=list(PROGRAMS), default="text", help="a made-up model")
    model.add_argument("--bundle", type=Path, help="a model that understudy delivered, in place of a made-up one")
    parser.add_argument(
        "--builds", choices=("all", "default"), default="all", help="default: what the compiler does unasked, beside plain C"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "fuzz_c.jsonl")
    arguments = parser.parse_args()
    program = Bundle.open(arguments.bundle).program() if arguments.bundle else PROGRAMS[arguments.program]()
    checksums = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        for flags in (PLAIN, *(vector_builds() if arguments.builds == "all" else [()])):
            build = " ".join(flags) or "default"
            checksums[build] = fuzz(program, flags, inputs=arguments.inputs, seed=arguments.seed, folder=Path(temporary))
            print(f"{build}: {arguments.inputs} inputs, logits {checksums[build]}", flush=True)
            if len(set(checksums.values())) != 1:
                print(f"builds agree in every logit: received {checksums}")
                return 1
    append(
        arguments.results,
        {
            "model": arguments.bundle.name if arguments.bundle else f"smallest {arguments.program}",
            "inputs": arguments.inputs,
            "seed": arguments.seed,
            "builds": list(checksums),
            "seconds": round(time.monotonic() - started),
            "command": command(),
            "machine": machine(),
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
