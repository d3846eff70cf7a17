"""The vector builds of ``understudy.h`` against the interpreter, logit for logit: what this machine has, and NEON in qemu."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c_programs import crooked_program, fuzz_c
from image_programs import image_program
from programs import sequence_program, utterance_program
from understudy.bundle.vectors import synthetic_images
from understudy.export.c import CExporter
from understudy.program.interpreter import run
from understudy.program.ops import Image, Linear, Program
from understudy.projections.text import FeatureGroup, encode

BUILDS: list[tuple[str, ...]] = [("-DUS_VECTOR=0",), *fuzz_c.vector_builds()]
PROGRAMS: dict[str, Callable[[], Program]] = {
    "sequence, 4 bits": lambda: sequence_program(bits=4),
    "crooked, 8 bits": lambda: crooked_program(bits=8),
    "utterance, 4 bits": lambda: utterance_program(bits=4, per_channel=True),
    "wide": lambda: wide_program(),  # noqa: PLW0108
    "image, 4 bits": lambda: image_program(bits=4, channels=20),
    "image, 8 bits": lambda: image_program(shape=(11, 6, 1), channels=9, kernel=(2, 5), stride=1, per_channel=False),
}
NEON_COMPILER, NEON_RUNNER = "aarch64-linux-gnu-gcc", "qemu-aarch64"

MAIN = """\
#include <stdio.h>
#include "model.h"
int main(int argc, char **argv) {
    static float scores[US_DEMO_CLASSES];
#ifdef US_DEMO_PIXELS
    static unsigned char bytes[US_DEMO_PIXELS];
#else
    static unsigned char bytes[US_DEMO_MAX_BYTES];
#endif
    FILE *file = fopen(argv[argc - 1], "rb");
    while (fread(bytes, 1, sizeof bytes, file) == sizeof bytes) {
        us_demo_predict(bytes, sizeof bytes, scores);
        for (int c = 0; c < US_DEMO_CLASSES; c++) {
            printf("%d ", us_demo_scores.logits[c]);
        }
    }
    return fclose(file);
}
"""


def wide_program() -> Program:
    """More features and outputs than are counted in registers, in numbers that no vector divides, and orders out of order."""
    rng = np.random.default_rng(8)
    program = sequence_program(bits=4)
    projection = replace(program.projection, groups=(FeatureGroup("character", 523),), orders=(4, 1, 8))
    first = program.nodes[1]
    assert isinstance(first, Linear)
    weight = rng.integers(-7, 8, (first.weight.shape[0], 523)).astype(np.int8)
    nodes = (replace(program.nodes[0], projection=projection), replace(first, weight=weight), *program.nodes[2:])
    return Program(nodes, program.quantization)


def inputs_of(program: Program, count: int) -> np.ndarray:
    """Return random bytes, and words that repeat, some longer than what is remembered; or images of blocks and noise."""
    rng = np.random.default_rng(count)
    if isinstance(program.source, Image):
        return synthetic_images(program.source.shape, count=count, seed=count)
    letters = np.frombuffer(b"abcdefgh", np.uint8)
    words = [bytes(rng.choice(letters, size)) for size in rng.integers(1, 24, 40)]
    texts = [b" ".join(words[i] for i in rng.integers(0, 40, rng.integers(0, 12))) for _ in range(count // 2)]
    texts += [bytes(rng.integers(0, 256, rng.integers(0, 100)).astype(np.uint8)) for _ in range(count - count // 2)]
    return encode(texts, max_bytes=program.projection.max_bytes)


def logits_of(program: Program, inputs: np.ndarray, folder: Path, compiler: list[str], runner: list[str]) -> np.ndarray:
    for file, content in CExporter().export(program, name="demo").items():
        (folder / file).write_bytes(content)
    (folder / "main.c").write_text(MAIN)
    (folder / "texts").write_bytes(inputs.astype(np.uint8).tobytes())
    warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic", "-Werror")
    for call in ([*compiler, "-std=c99", "-O2", *warnings, "main.c", "-o", "main"], [*runner, "./main", "texts"]):
        done = subprocess.run(call, cwd=folder, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), int).reshape(len(inputs), program.classes)


@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("flags", BUILDS, ids=lambda flags: " ".join(flags) or "default")
def test_logits_equal_the_interpreter(tmp_path: Path, flags: tuple[str, ...], name: str) -> None:
    program = PROGRAMS[name]()
    inputs = inputs_of(program, 300)
    expected = run(program, inputs).logits
    assert len(np.unique(expected)) > 20, "saturated logits would test nothing"
    np.testing.assert_array_equal(logits_of(program, inputs, tmp_path, ["cc", *flags], []), expected)


@pytest.mark.skipif(
    shutil.which(NEON_COMPILER) is None or shutil.which(NEON_RUNNER) is None,
    reason=f"no {NEON_COMPILER} or no {NEON_RUNNER}: apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
)
@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("architecture", ["armv8-a", "armv8.2-a+dotprod"])
def test_neon_equals_the_interpreter(tmp_path: Path, architecture: str, name: str) -> None:
    program = PROGRAMS[name]()
    inputs = inputs_of(program, 200)
    compiler = [NEON_COMPILER, "-static", f"-march={architecture}"]
    got = logits_of(program, inputs, tmp_path, compiler, [NEON_RUNNER])
    np.testing.assert_array_equal(got, run(program, inputs).logits)


def test_builds_agree_on_random_bytes_under_the_sanitizers(tmp_path: Path) -> None:
    program = fuzz_c.smallest_program()
    assert len(np.unique(run(program, inputs_of(program, 200)).logits)) > 20
    builds = (("-DUS_VECTOR=0",), BUILDS[-1])
    assert len({fuzz_c.fuzz(program, flags, texts=5000, seed=5, folder=tmp_path) for flags in builds}) == 1


@pytest.mark.parametrize("vector", ["", "-DUS_VECTOR=0"])
@pytest.mark.parametrize(
    "analyzer", ["gcc -std=c99 -O2 -fanalyzer -Werror -c -o main.o", "clang --analyze -Xclang -analyzer-werror"]
)
def test_static_analysers_find_nothing(tmp_path: Path, analyzer: str, vector: str) -> None:
    command = [*analyzer.split(), *vector.split(), "main.c"]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    for file, content in CExporter().export(utterance_program(bits=4), name="demo").items():
        (tmp_path / file).write_bytes(content)
    call = "int f(const uint8_t *b, size_t n, float *s);\nint f(const uint8_t *b, size_t n, float *s) {\n"
    (tmp_path / "main.c").write_text(f'#include "model.h"\n{call}    return us_demo_predict(b, n, s);\n}}\n')
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
