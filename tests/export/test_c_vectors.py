"""The vector builds of ``understudy.h`` against the interpreter, logit for logit: what this machine has, others in qemu."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from c_programs import context_program, crooked_program, fuzz_c
from image_programs import branched_program, gated_program, image_program
from programs import sequence_program, utterance_program
from understudy.bundle.vectors import synthetic_images
from understudy.export.c import CExporter
from understudy.export.c_source import write_source
from understudy.program.interpreter import run
from understudy.program.ops import Image, Linear, Program
from understudy.projections.text import FeatureGroup, encode

BUILDS: list[tuple[str, ...]] = [("-DUS_VECTOR=0",), *fuzz_c.vector_builds()]
PROGRAMS: dict[str, Callable[[], Program]] = {
    "sequence_4_bits": lambda: sequence_program(bits=4),
    "crooked_8_bits": lambda: crooked_program(bits=8),
    "utterance_4_bits": lambda: utterance_program(bits=4, per_channel=True),
    "wide": lambda: wide_program(),  # noqa: PLW0108
    "one_by_one": lambda: context_program(window=1, outputs=12, bits=8),
    "two_and_a_bias": lambda: context_program(window=2, outputs=3, bits=4, bias=True),
    "window_of_nine": lambda: context_program(window=9, outputs=37, bits=4),
    "too_many_products": lambda: context_program(window=9, outputs=160, bits=8),
    "image_4_bits": lambda: image_program(bits=4, channels=20),
    "image_8_bits": lambda: image_program(shape=(11, 6, 1), channels=9, kernel=(2, 5), stride=1, per_channel=False),
    "one_channel": lambda: image_program(shape=(9, 14, 1), channels=1, classes=3, stride=1, seed=6),
    "33_channels": lambda: image_program(shape=(12, 12, 3), channels=33, seed=3),
    "kernel_larger_than_the_image": lambda: image_program(shape=(3, 4, 2), channels=6, kernel=(7, 6), stride=1, seed=4),
    "stride_3_and_no_padding": lambda: image_program(
        shape=(29, 35, 3), kernel=(5, 3), stride=3, padding=(0, 0, 0, 0), channels=70, seed=5
    ),
    "branched": lambda: branched_program(shape=(17, 12, 3), channels=21),
    "gated": lambda: gated_program(shape=(17, 12, 3), channels=21),
    "kernel_of_one_row": lambda: image_program(shape=(8, 21, 2), channels=17, kernel=(1, 4), stride=1, seed=6),
}
NEON_COMPILER, NEON_RUNNER = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ARM_COMPILER, ARM_RUNNER = "arm-linux-gnueabihf-gcc", "qemu-arm"

MAIN = """\
#include <stdio.h>
#include <string.h>
{includes}
{answers}
int main(void) {{
    {calls}
    return 0;
}}
"""
ANSWERS = """\
static void answer_{name}(void) {{
    static float scores[US_{upper}_CLASSES];
    static unsigned char bytes[{input_bytes}];
    FILE *file = fopen("{name}.bin", "rb");
    if (file == NULL) {{
        return;
    }}
    while (fread(bytes, 1, sizeof bytes, file) == sizeof bytes) {{
        us_{name}_predict(bytes, sizeof bytes, scores);
        for (int c = 0; c < US_{upper}_CLASSES; c++) {{
            printf("%d ", us_{name}_scores.logits[c]);
        }}
    }}
    fclose(file);
    printf("\\n");
}}
"""
"""One program answers for all models, so that every build compiles the runtime once."""


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


@dataclass(frozen=True)
class Cases:
    """What every build must answer.

    Attributes:
        files: C sources and inputs by name.
        logits: model to integer logits ``[inputs, classes]``.
    """

    files: dict[str, bytes]
    logits: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def cases() -> Cases:
    files: dict[str, bytes] = {}
    logits: dict[str, np.ndarray] = {}
    answers = []
    for name, make in PROGRAMS.items():
        program = make()
        inputs = inputs_of(program, 200)
        logits[name] = run(program, inputs).logits
        assert len(np.unique(logits[name])) > 20, f"{name}: saturated logits would test nothing"
        exported = CExporter().export(program, name=name)
        files |= {f"{name}.h": exported["model.h"], "understudy.h": exported["understudy.h"]}
        files[f"{name}.bin"] = inputs.astype(np.uint8).tobytes()
        answers.append(ANSWERS.format(name=name, upper=name.upper(), input_bytes=inputs[0].size))
    files["main.c"] = MAIN.format(
        includes="\n".join(f'#include "{name}.h"' for name in PROGRAMS),
        answers="\n".join(answers),
        calls="\n    ".join(f"answer_{name}();" for name in PROGRAMS),
    ).encode()
    return Cases(files, logits)


def differing(cases: Cases, folder: Path, compiler: list[str], runner: list[str]) -> list[str]:
    """Return the models whose logits differ from the interpreter's in this build."""
    for file, content in cases.files.items():
        (folder / file).write_bytes(content)
    warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic", "-Werror")
    for call in ([*compiler, "-std=c99", "-O2", *warnings, "main.c", "-o", "main"], [*runner, "./main"]):
        done = subprocess.run(call, cwd=folder, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(cases.logits)
    pairs = zip(cases.logits.items(), lines, strict=True)
    return [name for (name, expected), line in pairs if line.split() != [str(logit) for logit in expected.ravel()]]


QUICK = (("-DUS_VECTOR=0",), (), ("-DUS_VECTOR=16",))
"""Builds that are always compared: plain C, what the processor chooses, and the least that it may choose."""
EVERY_BUILD = [pytest.param(flags, marks=[] if flags in QUICK else [pytest.mark.slow]) for flags in BUILDS]


@pytest.mark.parametrize("flags", EVERY_BUILD, ids=lambda flags: " ".join(flags) or "default")
def test_logits_equal_the_interpreter(tmp_path: Path, flags: tuple[str, ...], cases: Cases) -> None:
    assert differing(cases, tmp_path, ["cc", *flags], []) == []


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang: apt install clang")
@pytest.mark.parametrize(
    "flags", [(), pytest.param(("-DUS_WIDEST=32",), marks=pytest.mark.slow)], ids=["default", "-DUS_WIDEST=32"]
)
def test_what_clang_compiles_equals_the_interpreter(tmp_path: Path, flags: tuple[str, ...], cases: Cases) -> None:
    assert differing(cases, tmp_path, ["clang", *flags], []) == []


ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="no x86-64")
CPP_BUILDS = [
    *(("-O1", *flags) for flags in QUICK),
    *(("-O2", *flags) for flags in QUICK),
    pytest.param(("-O2", "-march=icelake-server"), marks=ON_X86),
    pytest.param(("-O3", "-march=icelake-server"), marks=ON_X86),
]


@pytest.mark.parametrize("flags", CPP_BUILDS, ids=" ".join)
def test_headers_are_cpp_too(tmp_path: Path, flags: tuple[str, ...], cases: Cases) -> None:
    """The models are called: compilers do not warn of what they leave out."""
    for file, content in cases.files.items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "main.c").rename(tmp_path / "app.cpp")
    call = ["g++", "-std=c++11", *flags, "-Wall", "-Wextra", "-Wconversion", "-Werror", "-c", "app.cpp", "-o", "app.o"]
    done = subprocess.run(call, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_rows_of_words_are_read_as_meant() -> None:
    """The four programs above take each way that there is."""
    sources = {name: write_source(PROGRAMS[name](), name).predict for name in PROGRAMS}
    by_word = {name for name, predict in sources.items() if "us_add_word(" in predict}
    by_row = {name for name, predict in sources.items() if "us_recall_row(" in predict}
    assert by_word >= {"sequence_4_bits", "one_by_one", "two_and_a_bias", "window_of_nine"}
    assert by_row == {"too_many_products"}


UNIT = '#include <stdio.h>\n#include "understudy.h"\nint main(void) { return puts(us_unit()) < 0; }\n'
X86_RUNNER = "qemu-x86_64"
needs_x86 = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which(X86_RUNNER) is None,
    reason=f"no x86-64, or no {X86_RUNNER}: apt install qemu-user",
)


@needs_x86
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_processor_chooses(tmp_path: Path, compiler: str) -> None:
    """Processors without AVX2 and without AVX-512; the latter is what this machine may have."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    (tmp_path / "unit.c").write_text(UNIT)
    (tmp_path / "understudy.h").write_bytes(CExporter().export(utterance_program(), name="any")["understudy.h"])

    def unit(*flags: str, runner: tuple[str, ...] = ()) -> str:
        subprocess.run([compiler, "-std=c99", "-O2", *flags, "unit.c", "-o", "unit"], cwd=tmp_path, check=True)
        return subprocess.run([*runner, "./unit"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    for processor, expected in (("Nehalem", "SSE2"), ("max", "AVX2")):
        assert unit(runner=(X86_RUNNER, "-cpu", processor)) == expected
    assert unit("-DUS_VECTOR=16") == "SSE2"
    assert unit("-DUS_VECTOR=0") == "plain C"
    assert unit("-Os") == "plain C"
    assert unit("-ffreestanding") == "SSE2", "nothing to ask the processor with"
    features = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    if "avx2" in features:
        assert unit("-DUS_WIDEST=32") == unit("-mavx2") == "AVX2"
    if {"avx512bw", "avx512vl", "avx512_vnni"} <= features:
        assert unit() == "AVX-512 VNNI"


@needs_x86
def test_the_least_that_is_chosen_equals_the_interpreter(tmp_path: Path, cases: Cases) -> None:
    assert differing(cases, tmp_path, ["cc"], [X86_RUNNER, "-cpu", "Nehalem"]) == []


@pytest.mark.skipif(
    shutil.which(NEON_COMPILER) is None or shutil.which(NEON_RUNNER) is None,
    reason=f"no {NEON_COMPILER} or no {NEON_RUNNER}: apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
)
@pytest.mark.parametrize("architecture", ["armv8-a", "armv8.2-a+dotprod"])
def test_neon_equals_the_interpreter(tmp_path: Path, architecture: str, cases: Cases) -> None:
    assert differing(cases, tmp_path, [NEON_COMPILER, "-static", f"-march={architecture}"], [NEON_RUNNER]) == []


@pytest.mark.skipif(
    shutil.which(ARM_COMPILER) is None or shutil.which(ARM_RUNNER) is None,
    reason=f"no {ARM_COMPILER} or no {ARM_RUNNER}: apt install gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user",
)
def test_the_dual_multiplications_of_arm_equal_the_interpreter(tmp_path: Path, cases: Cases) -> None:
    compiler = [ARM_COMPILER, "-static", "-march=armv7-a+fp"]
    macros = subprocess.run([*compiler, "-dM", "-E", "-"], input="", capture_output=True, text=True, check=True).stdout
    assert "__ARM_FEATURE_DSP" in macros, "the same instructions as a Cortex-M4"
    assert differing(cases, tmp_path, compiler, [ARM_RUNNER]) == []


@pytest.mark.parametrize("kind", ["text", "image", pytest.param("boxes", marks=pytest.mark.slow)])
def test_builds_agree_on_random_bytes_under_the_sanitizers(tmp_path: Path, kind: str) -> None:
    program = fuzz_c.PROGRAMS[kind]()
    assert len(np.unique(run(program, inputs_of(program, 200)).logits)) > 20
    builds = (("-DUS_VECTOR=0",), BUILDS[-1])
    assert len({fuzz_c.fuzz(program, flags, inputs=2000, seed=5, folder=tmp_path) for flags in builds}) == 1


@pytest.mark.parametrize("vector", ["", "-DUS_VECTOR=0"])
@pytest.mark.parametrize(
    "analyzer",
    [
        pytest.param("gcc -std=c99 -O2 -fanalyzer -Werror -c -o main.o", marks=pytest.mark.slow),
        "clang --analyze -Xclang -analyzer-werror",
    ],
)
def test_static_analysers_find_nothing(tmp_path: Path, analyzer: str, vector: str) -> None:
    command = [*analyzer.split(), *vector.split(), "main.c"]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    main = ""
    for name, program in (("text", utterance_program(bits=4)), ("image", image_program())):
        files = CExporter().export(program, name=name)
        (tmp_path / f"{name}.h").write_bytes(files["model.h"])
        (tmp_path / "understudy.h").write_bytes(files["understudy.h"])
        head = f"int f_{name}(const uint8_t *b, size_t n, float *s)"
        main += f'#include "{name}.h"\n{head};\n{head} {{\n    return us_{name}_predict(b, n, s);\n}}\n'
    (tmp_path / "main.c").write_text(main)
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
