"""What is particular to C in float: a byte for a weight, compilers, sizes, and what is refused; also of wasm and arduino."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import make_bundle
from c_programs import code_size, crooked_program
from emulators import need
from floats import check_random_program
from image_programs import branched_program, gated_program, image_program
from programs import sequence_program, utterance_program
from understudy.additions import add_formats
from understudy.devices.linux import ARCHITECTURES
from understudy.errors import InputError
from understudy.export.c import CExporter
from understudy.export.c_code import NEEDS, measured
from understudy.export.c_float import CFloatExporter
from understudy.export.c_float_source import REAL_BYTES, write_float_source
from understudy.export.c_input import c_input
from understudy.export.parity import verify_file
from understudy.export.protocol import Exporter
from understudy.export.registry import exporter
from understudy.job import job_from_arguments
from understudy.program.ops import Program, ProjectText, Quantization, Softmax, Standardize
from understudy.program.pointwise import Lookup
from understudy.program.real import real_probabilities
from understudy.program.real_curves import PRIMITIVES
from understudy.projections.text import encode
from understudy.testing.formats import examples, opened
from understudy.testing.image_programs import box_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.sound_programs import sound_program
from understudy.testing.token_programs import token_program
from wasm_tools import needs_wasm

EXPORTER = CFloatExporter()
ARM, FPU = "arm-none-eabi-gcc", ("-mcpu=cortex-m4", *code_size.FPU)
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow")
CURVES = ("x gelu", "x exp log x abs add x tanh sub", "0.25 x sub x mul x sigmoid add 1 x abs 1 add div add -1 max 3 min")
needs_arm = pytest.mark.skipif(shutil.which(ARM) is None, reason=f"no {ARM}: apt install gcc-arm-none-eabi")


def every_kind() -> tuple[Program, ...]:
    texts = (sequence_program(bits=4), utterance_program(), crooked_program(bits=8))
    images = (image_program(), branched_program(flat=True), gated_program(), box_program())
    return (*texts, *images, sound_program(), scan_program())


def curved(curve: str) -> Program:
    ones = np.ones(7, np.float32)
    nodes = (
        Standardize("given", "numbers", (7,), 0 * ones, ones),
        Lookup("numbers", "logits", curve, np.zeros(256, np.int8)),
        Softmax("logits", "probabilities"),
    )
    return Program(nodes, {"numbers": Standardize.quantization, "logits": Quantization(0.0625, 0)})


def write(folder: Path, program: Program) -> Path:
    for file, content in EXPORTER.export(program, name="demo", labels=None).items():
        (folder / file).write_bytes(content)
    return folder


def compiled(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_programs_answer_as_in_real_numbers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_random_program(EXPORTER, seed, tmp_path_factory.mktemp("float"))


def test_every_primitive_of_curves_is_right(tmp_path: Path) -> None:
    assert set(PRIMITIVES) <= {word for curve in CURVES for word in curve.split()}
    for curve in CURVES:
        program = curved(curve)
        found = verify_file(program, opened(EXPORTER, program, tmp_path), examples(program))
        assert found.verified, (curve, found.reason)
        assert found.max_probability_difference < 1e-6
        assert found.probabilities.std(axis=0).min() > 0.01


def test_functions_are_right_far_out(tmp_path: Path) -> None:
    """Numbers of a wide range, whose functions saturate, vanish, or lose digits."""
    (tmp_path / "understudy.h").write_bytes(CExporter().export(sequence_program(), name="x")["understudy.h"])
    (tmp_path / "understudy_float.h").write_bytes(EXPORTER.export(sequence_program(), name="x")["understudy_float.h"])
    names = ("exp", "log", "tanh", "sigmoid", "gelu")
    calls = "\n".join(
        f'        printf("%.9g ", (double)us_real_{name}({"x > 0 ? x : -x" if name == "log" else "x"}));' for name in names
    )
    (tmp_path / "far.c").write_text(
        '#include <stdio.h>\n#include "understudy_float.h"\nint main(void) {\n    float x;\n'
        f'    while (scanf("%f", &x) == 1) {{\n{calls}\n    }}\n    return 0;\n}}\n'
    )
    compiled(tmp_path, "cc", *STRICT, "-Wno-error=unused-function", "-O1", "far.c", "-o", "far")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-85, 85, 400), rng.normal(size=400), 10.0 ** rng.uniform(-30, 1.9, 200)]).astype(np.float32)
    said = subprocess.run(
        ["./far"], cwd=tmp_path, input="\n".join(map(repr, x.tolist())), capture_output=True, text=True, check=True
    )
    found = np.array(said.stdout.split(), np.float64).reshape(-1, len(names))
    wide = x.astype(np.float64)
    for name, values in zip(names, found.T, strict=True):
        expected = PRIMITIVES[name][1](np.abs(wide) if name == "log" else wide)
        np.testing.assert_allclose(values, expected, rtol=2e-6, atol=3e-7)


def test_a_weight_takes_a_byte_whatever_its_bits() -> None:
    for bits in (4, 8):
        rows = dict(EXPORTER.byte_table(image_program(bits=bits), name="x"))
        for layer in image_program(bits=bits).layers:
            [size] = [size for where, size in rows.items() if where.split()[-1] == layer.output]
            assert layer.weight.size < size <= layer.weight.size + 8 * len(layer.weight) + REAL_BYTES["conv"] + 4


@pytest.mark.parametrize(
    ("compiler", "level"),
    [("gcc", "-Os"), ("clang", "-Os"), (ARM, "-Os"), pytest.param("gcc", "-O2", marks=pytest.mark.slow)],
)
def test_compiles_without_a_warning(tmp_path: Path, compiler: str, level: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    unit = FPU if compiler == ARM else ()
    for program in (*every_kind(), curved(CURVES[0]), curved(CURVES[1])):
        write(tmp_path, program)
        # of other widths than float no number may come, which microcontrollers compute by routines
        compiled(tmp_path, compiler, *unit, *STRICT, "-Wdouble-promotion", level, "-c", "example_float.c")


@pytest.mark.parametrize(
    "analyzer",
    [
        pytest.param("gcc -std=c99 -O2 -fanalyzer -Werror -c -o main.o", marks=pytest.mark.slow),
        "clang --analyze -Xclang -analyzer-werror",
    ],
)
def test_static_analysers_find_nothing(tmp_path: Path, analyzer: str) -> None:
    command = [*analyzer.split(), "-DUS_VECTOR=0", "main.c"]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    main = ""
    made = {
        "text": utterance_program(),
        "image": branched_program(flat=True),
        "gated": gated_program(),
        "steps": scan_program(),
    }
    for name, program in made.items():
        for file, content in EXPORTER.export(program, name=name).items():
            (tmp_path / (f"{name}.h" if file == EXPORTER.filename else file)).write_bytes(content)
        head = f"int f_{name}(const {c_input(program).kind} *input, size_t n, float *scores)"
        main += f'#include "{name}.h"\n{head};\n{head} {{\n    return us_{name}_float_predict(input, n, scores);\n}}\n'
    (tmp_path / "main.c").write_text(main)
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@needs_arm
def test_objects_need_no_heap_and_no_mathematics(tmp_path: Path) -> None:
    (tmp_path / "user.c").write_text(
        '#include "model_float.h"\nvoid *kept(void);\nvoid *kept(void) { return us_demo_float_predict; }\n'
    )
    for program in (utterance_program(), gated_program(), box_program(), scan_program(), *map(curved, CURVES[:2])):
        write(tmp_path, program)
        compiled(tmp_path, ARM, "-std=gnu99", "-Os", *FPU, "-c", "user.c")
        undefined = {line.split()[-1] for line in compiled(tmp_path, "arm-none-eabi-nm", "-u", "user.o").splitlines()}
        assert undefined <= {"memset", "memcpy"}


@needs_arm
def test_descriptors_have_the_sizes_that_are_counted(tmp_path: Path) -> None:
    write(tmp_path, sequence_program())
    lines = [f"typedef char {kind}[sizeof(us_real_{kind}) == {size} ? 1 : -1];" for kind, size in REAL_BYTES.items()]
    (tmp_path / "sizes.c").write_text('#include "understudy_float.h"\n' + "\n".join(lines) + "\n")
    compiled(tmp_path, ARM, "-std=c99", "-mcpu=cortex-m4", "-c", "sizes.c")


@needs_arm
def test_ram_and_stack_are_as_stated(tmp_path: Path) -> None:
    for program in (utterance_program(bits=4), gated_program(), sound_program()):
        write(tmp_path, program)
        kind = c_input(program).kind
        (tmp_path / "user.c").write_text(
            f'#include "model_float.h"\nint f(const {kind} *b, size_t n, float *s);\n'
            f"int f(const {kind} *b, size_t n, float *s) {{ return us_demo_float_predict(b, n, s); }}\n"
        )
        plain, vector = EXPORTER.ram_bytes(program), write_float_source(program, "demo").vector_ram_bytes
        for compiler, size, stated in ((ARM, "arm-none-eabi-size", plain), ("gcc", "size", vector)):
            compiled(tmp_path, compiler, "-std=c99", "-O1", "-c", "user.c")
            fields = compiled(tmp_path, size, "user.o").splitlines()[1].split()
            relocated = 0 if compiler == ARM else int(fields[1])
            assert int(fields[1]) + int(fields[2]) - relocated == stated
        compiled(tmp_path, ARM, "-std=c99", "-Os", *FPU, "-fstack-usage", "-c", "user.c")
        rows = (line.split("\t") for line in (tmp_path / "user.su").read_text().splitlines())
        frames = {row[0].split(":")[-1]: int(row[1]) for row in rows}

        def deepest(function: str, frames: dict[str, int] = frames) -> int:
            return frames.get(function, 0) + max(map(deepest, NEEDS.get(function, ())), default=0)

        assert frames["us_demo_float_predict"] + max(map(deepest, set(frames) - {"us_demo_float_predict", "f"})) + 32 <= 512
        assert "Stack: at most 512 bytes" in (tmp_path / "model_float.h").read_text()


@needs_arm
@pytest.mark.parametrize("case", [1, 5, 6, 7, *(pytest.param(case, marks=pytest.mark.slow) for case in (0, 2, 3, 4, 8))])
def test_byte_table_is_what_the_linker_finds(tmp_path: Path, case: int) -> None:
    program = every_kind()[case]
    real, symbols = code_size.link(program, tmp_path, EXPORTER)
    estimate = sum(size for _, size in EXPORTER.byte_table(program, name="probe"))
    assert 0.98 * real <= estimate <= 1.02 * real + 32
    stated = sum(constant.size_bytes for constant in write_float_source(program, "probe_float").constants)
    code = re.compile("us_probe_float_(ram|predict|curve_.*)")
    found = sum(-(-n // 4) * 4 for name, n in symbols.items() if name.startswith("us_probe_") and not code.fullmatch(name))
    assert found == stated
    for name, size in symbols.items():
        if name.startswith("us_real_"):
            assert size <= measured()["functions"][name] <= size + 32, f"{name}: run benchmarks/c_code_size.py"


def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    for program in (branched_program(pool=(3, 2), padding=(2, 0, 0, 1), shape=(9, 11, 2), channels=5), gated_program()):
        write(tmp_path, program)
        sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        compiled(tmp_path, "gcc", "-std=c99", "-O1", "-DUS_VECTOR=0", *sanitizers, "example_float.c", "-o", "safe")
        for pixels in examples(program)[:8]:
            (tmp_path / "pixels.bin").write_bytes(pixels.tobytes())
            printed = compiled(tmp_path, "./safe", "pixels.bin")
            expected = real_probabilities(program, pixels[None])[0]
            scores = [float(line.split()[-1]) for line in printed.splitlines()[1:]]
            np.testing.assert_allclose(scores, expected, atol=2e-6)
            assert int(printed.split()[1]) == expected.argmax()


@pytest.mark.parametrize("target", ARCHITECTURES)
def test_processors_of_other_kinds_answer_the_same(target: str, tmp_path: Path) -> None:
    compiler, emulator = f"{ARCHITECTURES[target].toolchain}gcc", ARCHITECTURES[target].qemu
    need(compiler, emulator)
    for program in (sequence_program(bits=4), gated_program()):
        write(tmp_path, program)
        compiled(tmp_path, compiler, "-std=c99", "-O2", "-static", "example_float.c", "-o", "there")
        given, inputs = ("play some jazz!", encode(["play some jazz!"], max_bytes=64))
        if not isinstance(program.source, ProjectText):
            given, inputs = "pixels.bin", examples(program)[5:6]
            (tmp_path / given).write_bytes(inputs.tobytes())
        printed = compiled(tmp_path, emulator, "./there", given)
        scores = [float(line.split()[-1]) for line in printed.splitlines()[1:]]
        np.testing.assert_allclose(scores, real_probabilities(program, inputs)[0], atol=2e-6)


def test_both_headers_stand_in_one_source_file(tmp_path: Path) -> None:
    program = sequence_program()
    write(tmp_path, program)
    for file, content in CExporter().export(program, name="demo").items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "both.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n#include "model_float.h"\nint main(void) {\n'
        "    static float exact[US_DEMO_CLASSES], real[US_DEMO_FLOAT_CLASSES];\n"
        '    const uint8_t *text = (const uint8_t *)"play music";\n'
        "    us_demo_predict(text, 10, exact);\n    us_demo_float_predict(text, 10, real);\n"
        '    printf("%.6f %.6f\\n", (double)exact[0], (double)real[0]);\n    return 0;\n}\n'
    )
    compiled(tmp_path, "cc", "-std=c99", "-O1", "-DUS_VECTOR=0", "both.c", "-o", "both")
    exact, real = map(float, compiled(tmp_path, "./both").split())
    assert exact == pytest.approx(real, abs=0.1)
    assert exact != real


def test_a_model_of_the_same_c_names_does_not_vanish(tmp_path: Path) -> None:
    """The integers of a model called demo_float have the names that the model called demo has in float."""
    program = sequence_program()
    write(tmp_path, program)
    (tmp_path / "model.h").write_bytes(CExporter().export(program, name="demo_float")["model.h"])
    (tmp_path / "both.c").write_text('#include "model.h"\n#include "model_float.h"\nint main(void) { return 0; }\n')
    result = subprocess.run(["cc", "-std=c99", "both.c"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert result.returncode != 0
    assert "us_demo_float_predict" in result.stderr


def test_the_comment_names_what_must_lie_beside_it() -> None:
    header = EXPORTER.export(sequence_program(), name="demo")["model_float.h"].decode()
    assert "with understudy.h and understudy_float.h beside it:" in header


def test_a_bundle_in_c_gets_it_beside_what_is_there(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("c",))
    before = {name: (bundle.folder / name).read_bytes() for name in bundle.manifest.files}
    add_formats(bundle.folder, ("c_float",))
    for name, content in before.items():
        assert (bundle.folder / name).read_bytes() == content
    assert (bundle.folder / "model_float.h").exists()


def refusals() -> tuple[tuple[Program, str], ...]:
    return (
        (box_program(channels=6), "received tensor='signs' of 'stem'.*; ask for --format {}$"),
        (token_program(), "holds no float islands: received a float island, layer norm in blocks.0.norm1; ask"),
        (replace(sequence_program(), quantization={}), "holds integer programs"),
    )


@pytest.mark.parametrize("name", ["c_float", pytest.param("wasm_float", marks=needs_wasm), "arduino_float"])
def test_what_it_cannot_hold_is_refused(name: str) -> None:
    made: Exporter = exporter(name)
    for program, said in refusals():
        for refuse in (made.export, made.byte_table):
            with pytest.raises(InputError, match=said.format(name.removesuffix("_float"))) as caught:
                refuse(program, name="x")
            assert str(caught.value).startswith(f"the {name} format ")
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=f"received format='{name}' for student='projection_cnn'; ask for "):
        job_from_arguments("data", budgets=("16KB",), formats=("c", name), student="projection_cnn")


def test_another_files_answers_are_found(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", formats=("c_float",))
    other = EXPORTER.export(sequence_program(seed=1), name=bundle.manifest.name)
    (tmp_path / "b" / "model_float.h").write_bytes(other["model_float.h"])
    found = bundle.verify("c_float")
    assert not found.verified
    assert found.reason is not None
    assert "more than 0.0001" in found.reason
