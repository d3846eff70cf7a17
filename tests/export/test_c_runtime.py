"""``understudy.h`` and generated headers under compilers: warnings, sanitizers, sizes, symbols, and odd callers."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c_programs import code_size, crooked_program, random_program
from image_programs import branched_program, gated_program, image_program
from programs import sequence_program, utterance_program
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.c import CExporter
from understudy.export.c_code import NEEDS, OPERATIONS, measured
from understudy.export.c_constants import scale_word
from understudy.export.c_input import c_input
from understudy.export.c_memory import place_tensors
from understudy.export.c_source import write_source
from understudy.program.interpreter import requantize, run
from understudy.program.ops import Program, Quantization, inputs_of
from understudy.program.pointwise import Lookup, Multiply
from understudy.projections.text import encode
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student
from understudy.testing.scan_programs import scan_program
from understudy.testing.sound_programs import sound_program

ARM = "arm-none-eabi-gcc"
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow")
USER = """\
#include "model.h"
float scores[US_DEMO_CLASSES];
int main(void) { return us_demo_predict((const void *)"a", 1, scores); }
"""
needs_arm = pytest.mark.skipif(shutil.which(ARM) is None, reason=f"no {ARM}: apt install gcc-arm-none-eabi")


def write(folder: Path, program: Program, name: str = "demo") -> Path:
    for file, content in CExporter().export(program, name=name).items():
        (folder / file).write_bytes(content)
    (folder / "user.c").write_text(USER)
    return folder


def compiled(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("compiler", "level"),
    [
        *(pytest.param(compiler, "-O0", marks=pytest.mark.slow) for compiler in ("gcc", "clang", ARM)),
        *(pytest.param(compiler, "-O2", marks=pytest.mark.slow) for compiler in ("gcc", "clang")),  # every unit of vectors
        *((compiler, "-Os") for compiler in ("gcc", "clang", ARM)),
        *((compiler, "-O2") for compiler in ("gcc -DUS_WIDEST=16", ARM)),
    ],
)
def test_compiles_without_a_warning(tmp_path: Path, compiler: str, level: str) -> None:
    compiler, *flags = compiler.split()
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    # gcc 12 warns about loops of wide 4-bit layers only
    wide = quantized_shape(build_student(Recipe(width=152, hidden=152, weight_bits=4), classes=50, seed=0))
    for program in (
        sequence_program(bits=4),
        utterance_program(),
        crooked_program(bits=8),
        random_program(3),
        wide,
        image_program(),
        branched_program(flat=True),
        gated_program(),
        sound_program(),
        scan_program(),
    ):
        write(tmp_path, program)
        compiled(tmp_path, compiler, *flags, *STRICT, level, "-c", "example.c")


@pytest.mark.parametrize(
    ("level", "recipe"),
    [
        # gcc 12 warned of the end of the sums of signs, of few shapes and at these levels only
        ("-O3 -DUS_WIDEST=16", Recipe(student="sgnn", features=192, width=64, hidden=156)),
        ("-O2 -DUS_WIDEST=16", Recipe(features=384, width=28, hidden=28, max_bytes=32, max_words=8)),
    ],
)
def test_signs_compile_without_a_warning(tmp_path: Path, level: str, recipe: Recipe) -> None:
    write(tmp_path, quantized_shape(build_student(replace(recipe, weight_bits=4), classes=4, seed=0)))
    compiled(tmp_path, os.environ.get("CC", "cc").split()[0], *STRICT, *level.split(), "-c", "example.c")


def test_the_runtime_alone_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, sequence_program())
    (tmp_path / "alone.c").write_text('#include "understudy.h"\nint nothing(void);\nint nothing(void) { return 0; }\n')
    compiled(tmp_path, "cc", *STRICT, "-O1", "-c", "alone.c")
    assert "us_" not in compiled(tmp_path, "nm", "alone.o")


@needs_arm
def test_objects_need_no_heap_and_no_mathematics(tmp_path: Path) -> None:
    for program in (
        sequence_program(),
        utterance_program(bits=4),
        crooked_program(bits=4),
        image_program(bits=4),
        sound_program(),
        scan_program(),
    ):
        write(tmp_path, program)
        compiled(tmp_path, ARM, "-std=c99", "-Os", "-mcpu=cortex-m4", "-c", "user.c")
        undefined = {line.split()[-1] for line in compiled(tmp_path, "arm-none-eabi-nm", "-u", "user.o").splitlines()}
        # a soft-float routine such as __aeabi_fmul would also show here
        assert undefined <= {"memset", "memcpy"}


@needs_arm
@pytest.mark.parametrize(
    "program",
    [
        sequence_program(),
        utterance_program(bits=4),
        crooked_program(bits=4),
        image_program(),
        branched_program(),
        gated_program(),
        sound_program(),
        scan_program(),
        sound_program(sample_rate=16_000, samples=4096, channels=4),
    ],
)
def test_ram_is_as_stated(tmp_path: Path, program: Program) -> None:
    write(tmp_path, program)
    (tmp_path / "user.c").write_text(
        '#include "model.h"\nint f(const input *b, size_t n, float *s);\n'
        "int f(const input *b, size_t n, float *s) { return us_demo_predict(b, n, s); }\n".replace(
            "input", c_input(program).kind
        )
    )
    plain, vector = CExporter().ram_bytes(program), write_source(program, "demo").vector_ram_bytes
    for compiler, size, stated in ((ARM, "arm-none-eabi-size", plain), ("gcc", "size", vector)):
        compiled(tmp_path, compiler, "-std=c99", "-O0", "-c", "user.c")  # what is static does not depend on the level
        fields = compiled(tmp_path, size, "user.o").splitlines()[1].split()
        relocated = 0 if compiler == ARM else int(fields[1])  # position-independent code relocates its tables in .data
        assert int(fields[1]) + int(fields[2]) - relocated == stated
    assert f"_RAM_BYTES US_EITHER({vector}, {plain})\n" in (tmp_path / "model.h").read_text()


def test_what_is_changed_value_by_value_stays_in_its_place() -> None:
    program = gated_program()
    place = place_tensors(program)
    shapes = program.shapes()
    assert place.offsets["stem"] == place.offsets["swish"]
    assert place.offsets["smooth"] == place.offsets["excited"]  # the pool has read it before
    assert place.offsets["excited"] != place.offsets["bounded"]  # a product reads both
    last_read = {name: i for i, node in enumerate(program.nodes) for name in inputs_of(node)}
    for at, node in enumerate(program.nodes[:-1]):
        for name, offset in place.offsets.items():
            written = next(i for i, other in enumerate(program.nodes) if other.output == name)
            over = isinstance(node, Lookup | Multiply) and name == inputs_of(node)[0] and at == last_read[name]
            if written < at <= last_read[name] and not over:
                begin, end = place.offsets[node.output], place.offsets[node.output] + math.prod(shapes[node.output])
                assert offset + math.prod(shapes[name]) <= begin or offset >= end, (name, node.output)


@needs_arm
@pytest.mark.parametrize("program", [utterance_program(bits=4), sound_program()], ids=["text", "sound"])
def test_stack_is_as_stated(tmp_path: Path, program: Program) -> None:
    write(tmp_path, program)
    compiled(tmp_path, ARM, "-std=c99", "-Os", "-mcpu=cortex-m4", "-fstack-usage", "-c", "user.c")
    rows = (line.split("\t") for line in (tmp_path / "user.su").read_text().splitlines())
    frames = {row[0].split(":")[-1]: int(row[1]) for row in rows}

    def deepest(function: str) -> int:
        return frames.get(function, 0) + max(map(deepest, NEEDS.get(function, ())), default=0)

    roots = set(frames) - {"us_demo_predict", "main"}
    # 32 bytes more for the dot products, which are called through a pointer
    assert frames["us_demo_predict"] + max(map(deepest, roots)) + 32 <= 512
    assert "Stack: at most 512 bytes" in (tmp_path / "model.h").read_text()


@needs_arm
@pytest.mark.parametrize("case", range(12))
def test_byte_table_is_what_the_linker_finds(tmp_path: Path, case: int) -> None:
    texts = (sequence_program, utterance_program, lambda: crooked_program(bits=4))
    programs = (*texts, image_program, branched_program, gated_program)
    kinds = {8: code_size.random_image_program, 9: code_size.random_sound_program, 10: code_size.random_sound_program}
    kinds[11] = code_size.random_recurrent_program
    kind = kinds.get(case, random_program)
    program = programs[case]() if case < len(programs) else kind(9000 + case)
    real, symbols = code_size.link(program, tmp_path)
    estimate = sum(size for _, size in CExporter().byte_table(program, name="probe"))
    assert 0.98 * real <= estimate <= 1.02 * real + 16
    # constants are exact: every object has the size that the table says, to the alignment
    stated = sum(constant.size_bytes for constant in write_source(program, "probe").constants)
    code_and_ram = ("us_probe_ram", "us_probe_predict")
    found = sum(-(-n // 4) * 4 for name, n in symbols.items() if name.startswith("us_probe_") and name not in code_and_ram)
    assert found == stated


@needs_arm
def test_measured_functions_are_up_to_date(tmp_path: Path) -> None:
    table = measured()["functions"]
    assert set(table) == {function for functions in OPERATIONS.values() for function in functions}
    for program in (sequence_program(), utterance_program(bits=4)):
        _, symbols = code_size.link(program, tmp_path)
        for name, size in symbols.items():
            if not name.startswith("us_probe_"):
                # a function whose callers agree on an argument may be smaller than the largest that was measured
                assert size <= table[name] <= size + 32, f"{name}: run benchmarks/c_code_size.py"


FUZZ = """\
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
int main(int argc, char **argv) {
    static float scores[US_DEMO_CLASSES];
    FILE *file = fopen(argv[argc - 1], "rb");
    int low, high;
    while ((low = fgetc(file)) != EOF && (high = fgetc(file)) != EOF) {
        size_t n = (size_t)(low + 256 * high);
        unsigned char *bytes = malloc(n > 0 ? n : 1); /* exactly n bytes, so that a read past the end is seen */
        if (fread(bytes, 1, n, file) != n) {
            return 1;
        }
        printf("%d\\n", us_demo_predict(bytes, n, scores));
        free(bytes);
    }
    fclose(file);
    return 0;
}
"""


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.slow) for case in (1, 2, 3))])
def test_sanitizers_find_nothing(tmp_path: Path, case: int) -> None:
    programs = (sequence_program(bits=4), utterance_program(), crooked_program(bits=4), random_program(5))
    program = programs[case]
    rng = np.random.default_rng(case)
    alphabet = np.frombuffer(b"abcXYZ019 .,-\t\0\x7f\x80\xff", np.uint8)
    texts = [rng.integers(0, 256, rng.integers(0, 120)).astype(np.uint8).tobytes() for _ in range(800)]
    texts += [rng.choice(alphabet, rng.integers(0, 120)).tobytes() for _ in range(800)]
    write(tmp_path, program)
    (tmp_path / "fuzz.c").write_text(FUZZ)
    (tmp_path / "texts").write_bytes(b"".join(len(text).to_bytes(2, "little") + text for text in texts))
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    unit = ("-DUS_VECTOR=0",) if case == 0 else ()  # every unit takes the compiler half a minute
    compiled(tmp_path, "gcc", "-std=c99", "-O1", "-g", *unit, *sanitizers, "fuzz.c", "-o", "fuzz")
    labels = [int(line) for line in compiled(tmp_path, "./fuzz", "texts").split()]
    expected = run(program, encode(texts, max_bytes=program.projection.max_bytes)).logits.argmax(axis=1)
    assert labels == expected.tolist()


def library(folder: Path, source: str) -> ctypes.CDLL:
    (folder / "library.c").write_text(source)
    compiled(folder, "cc", "-std=c99", "-O2", "-shared", "-fPIC", "library.c", "-o", "library.so")
    return ctypes.CDLL(str(folder / "library.so"))


REQUANTIZE = """\
#include "understudy.h"
void f(const int32_t *accumulators, size_t n, uint32_t scale, int zero, int low, int8_t *out) {
    const us_range range = {(int8_t)zero, (int8_t)low};
    for (size_t i = 0; i < n; i++) {
        out[i] = us_requantize(accumulators[i], scale, range);
    }
}
"""


def test_requantization_equals_the_reference_near_every_tie(tmp_path: Path) -> None:
    write(tmp_path, sequence_program())
    loaded = library(tmp_path, REQUANTIZE)
    rng = np.random.default_rng(11)
    scales = np.exp(rng.uniform(np.log(2e-8), np.log(900), 300)).astype(np.float32)
    for scale in [*scales.tolist(), 0.5, 0.25, 2**-10, 2**-24, 2**-25, 3 * 2**-9, 1.0, 300.0, 0.0, 1e-12]:
        # accumulators whose product lands next to k + 1/2, where the two roundings could part, and others
        halves = (np.arange(-140, 140) + 0.5) / (scale or 1.0)
        near = (np.rint(halves)[:, None] + np.arange(-1, 2)).ravel()
        around = np.concatenate([near, rng.integers(-(2**24) + 1, 2**24, 200), [0, 1, -1, 2**24 - 1, 1 - 2**24]])
        accumulators = np.clip(around, 1 - 2**24, 2**24 - 1).astype(np.int64)
        for zero, relu in ((-128, True), (5, False), (127, False)):
            expected = requantize(accumulators, np.float32(scale), Quantization(1.0, zero), relu=relu)
            given, got = accumulators.astype(np.int32), np.empty(len(accumulators), np.int8)
            low = zero if relu else -128
            pointers = (ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(got.ctypes.data))
            loaded.f(pointers[0], ctypes.c_size_t(len(given)), ctypes.c_uint32(scale_word(scale)), zero, low, pointers[1])
            np.testing.assert_array_equal(got, expected, err_msg=f"scale={scale!r} zero={zero}")


def test_null_pointers_are_an_error_and_length_is_cut(tmp_path: Path) -> None:
    program = utterance_program()
    write(tmp_path, program)
    source = '#include "model.h"\nint f(const uint8_t *b, size_t n, float *s) { return us_demo_predict(b, n, s); }\n'
    loaded = library(tmp_path, source)
    scores = (ctypes.c_float * 7)()
    assert loaded.f(None, ctypes.c_size_t(3), scores) == -1
    assert loaded.f(b"abc", ctypes.c_size_t(3), None) == -1
    texts = [b"", b"a\0b", b"word " * 100, b"\xff" * 65]
    expected = run(program, encode(texts, max_bytes=64))
    for text, label, row in zip(texts, expected.logits.argmax(axis=1), expected.probabilities, strict=True):
        assert loaded.f(text, ctypes.c_size_t(len(text)), scores) == label
        np.testing.assert_allclose(np.array(scores), row, atol=1e-6)
    assert loaded.f(None, ctypes.c_size_t(0), scores) == expected.logits[0].argmax()


def test_two_models_live_in_one_source_file(tmp_path: Path) -> None:
    programs = {"first": sequence_program(), "second": utterance_program()}
    for name, program in programs.items():
        write(tmp_path, program, name)
        (tmp_path / "model.h").rename(tmp_path / f"{name}.h")
    source = '#include "first.h"\n#include "second.h"\nint f(const uint8_t *b, size_t n, float *s, int which) {\n'
    source += "    return which ? us_second_predict(b, n, s) : us_first_predict(b, n, s);\n}\n"
    loaded = library(tmp_path, source)
    text = b"move my meeting to friday"
    scores = (ctypes.c_float * 7)()
    for which in (0, 1, 0):
        program = list(programs.values())[which]
        expected = run(program, encode([text], max_bytes=64))
        assert loaded.f(text, ctypes.c_size_t(len(text)), scores, which) == expected.logits[0].argmax()
        np.testing.assert_allclose(np.array(scores), expected.probabilities[0], atol=1e-6)
