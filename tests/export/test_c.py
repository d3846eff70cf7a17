"""The C format against the interpreter, on this machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c_programs import crooked_program, random_program
from programs import TEXTS, sequence_program, utterance_program
from understudy.errors import InputError, SetupError, VerificationError
from understudy.export.c import CExporter
from understudy.export.c_constants import pack_nibbles, power_word, scale_word
from understudy.export.c_session import CSession
from understudy.export.c_writer import c_identifier
from understudy.export.parity import verify_file
from understudy.export.registry import exporter
from understudy.program.interpreter import run, tensors
from understudy.program.ops import Linear, Program
from understudy.projections.text import FeatureGroup, TextProjection, encode

PROGRAMS: dict[str, Callable[..., Program]] = {"sequence": sequence_program, "utterance": utterance_program}


def write(folder: Path, program: Program, name: str = "demo", **more: object) -> Path:
    for file, content in CExporter().export(program, name=name, **more).items():  # type: ignore[arg-type]
        (folder / file).write_bytes(content)
    return folder


def session(folder: Path, program: Program) -> CSession:
    return CExporter().open(write(folder, program), name="demo")


def inputs(program: Program, count: int, seed: int = 0) -> np.ndarray:
    """Return the common texts, random bytes, and random words, as the int32 input of every format."""
    rng = np.random.default_rng(seed)
    noise = [bytes(rng.integers(0, 256, rng.integers(0, 100)).astype(np.uint8)) for _ in range(count // 2)]
    letters = np.frombuffer(b"abcdefghijklmnop  QRST.,'09\xc3\xa9", np.uint8)
    words = [bytes(rng.choice(letters, rng.integers(0, 100))) for _ in range(count - count // 2)]
    return encode([*TEXTS, *noise, *words], max_bytes=program.projection.max_bytes)


@pytest.mark.parametrize(
    ("bits", "per_channel"),
    [(8, True), (4, False), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((8, False), (4, True)))],
)
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_scores_equal_the_interpreter(tmp_path: Path, name: str, bits: int, per_channel: bool) -> None:
    program = PROGRAMS[name](bits=bits, per_channel=per_channel)
    byte_ids = inputs(program, 3000)
    expected = run(program, byte_ids)
    assert len(np.unique(expected.logits)) > 30, "saturated logits would test nothing"
    opened = session(tmp_path, program)
    np.testing.assert_array_equal(opened.logits(byte_ids), expected.logits)
    np.testing.assert_array_equal(opened.labels(byte_ids), expected.logits.argmax(axis=1))
    np.testing.assert_allclose(opened.predict(byte_ids), expected.probabilities, atol=1e-6, rtol=5e-6)
    assert verify_file(program, opened, byte_ids, reference=expected).reason is None


@pytest.mark.parametrize("scale", [0.004, 0.3, 0.9, 7.0])
def test_probabilities_are_right_in_all_magnitudes(tmp_path: Path, scale: float) -> None:
    program = utterance_program()
    scheme = {**program.quantization, "logits": replace(program.quantization["logits"], scale=float(np.float32(scale)))}
    hidden = program.quantization["hidden"]
    # the same logits in every case: the requantization factor stays, only their meaning changes
    scheme["hidden"] = replace(hidden, scale=hidden.scale * scale / program.quantization["logits"].scale)
    first = program.nodes[1]
    assert isinstance(first, Linear) and first.weight_scale is not None
    factor = np.float32(scheme["hidden"].scale / hidden.scale)
    nodes = (program.nodes[0], replace(first, weight_scale=first.weight_scale * factor), *program.nodes[2:])
    program = Program(nodes, scheme)
    byte_ids = inputs(program, 300)
    expected = run(program, byte_ids)
    opened = session(tmp_path, program)
    np.testing.assert_array_equal(opened.logits(byte_ids), expected.logits)
    got = opened.predict(byte_ids)
    visible = expected.probabilities > 1e-30
    np.testing.assert_allclose(got[visible], expected.probabilities[visible], rtol=2e-5)
    assert (got[~visible] <= 1.1e-30).all()
    assert verify_file(program, opened, byte_ids, reference=expected).reason is None


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 24))])
def test_random_programs_equal_the_interpreter(tmp_path: Path, seed: int) -> None:
    program = random_program(seed)
    byte_ids = inputs(program, 200, seed)
    expected = run(program, byte_ids)
    opened = session(tmp_path, program)
    np.testing.assert_array_equal(opened.logits(byte_ids), expected.logits)
    np.testing.assert_allclose(opened.predict(byte_ids), expected.probabilities, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bits", [8, 4])
def test_odd_widths_and_zero_points_equal_the_interpreter(tmp_path: Path, bits: int) -> None:
    program = crooked_program(bits=bits)
    byte_ids = inputs(program, 500)
    expected = tensors(program, byte_ids)[program.logits]
    assert len(np.unique(expected)) > 30
    np.testing.assert_array_equal(session(tmp_path, program).logits(byte_ids), expected)


# without -nostartfiles, -ffast-math links a start file that makes this whole process flush small floats to zero
FAST_MATH = "-O3 -ffast-math -nostartfiles"


@pytest.mark.parametrize("flags", ["-Os", "-O0 -U__SSE2__", "-O2 -U__SSE2__", FAST_MATH, "-O2 -mfpmath=387"])
def test_no_compiler_flag_changes_the_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    program = utterance_program(bits=4)
    byte_ids = inputs(program, 300)
    # the driver appends its own -O2, so the flags are set once more behind it by a wrapper
    wrapper = tmp_path / "compiler"
    wrapper.write_text(f'#!/bin/sh\nexec cc "$@" {flags}\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", str(wrapper))
    opened = session(tmp_path, program)
    expected = run(program, byte_ids)
    np.testing.assert_array_equal(opened.logits(byte_ids), expected.logits)
    np.testing.assert_allclose(opened.predict(byte_ids), expected.probabilities, atol=1e-6, rtol=0)


def test_long_tokens_count_past_one_byte(tmp_path: Path) -> None:
    projection = TextProjection((FeatureGroup("character", 40),), max_bytes=400, max_words=4, pooling="utterance", seed=5)
    program = utterance_program()
    first = program.nodes[1]
    assert isinstance(first, Linear)
    nodes = (
        replace(program.nodes[0], projection=projection),
        replace(first, weight=first.weight[:, :40]),
        *program.nodes[2:],
    )
    program = Program(nodes, program.quantization)
    byte_ids = encode(["ab" * 200, "x" * 51, "x" * 52, "y" * 399 + "z"], max_bytes=400)
    np.testing.assert_array_equal(session(tmp_path, program).logits(byte_ids), run(program, byte_ids).logits)


def test_scale_words_are_exact() -> None:
    for scale in np.random.default_rng(3).uniform(1e-7, 9, 500).astype(np.float32).tolist():
        word = scale_word(scale)
        assert (word & 0xFFFFFF) * 2.0 ** -(word >> 24) == scale
    assert scale_word(0.0) & 0xFFFFFF == 0
    assert scale_word(1e-30) & 0xFFFFFF == 0
    assert scale_word(1e30) == scale_word(1024.0)


def test_power_words_hold_the_exponential() -> None:
    for exponent in (1e-9, 0.05, 0.7, 1.0, 12.8, 150.0):
        word = power_word(exponent)
        assert (word & 0xFFFFFF) * 2.0 ** -(24 + (word >> 24)) == pytest.approx(np.exp(-exponent), rel=6e-8)
    assert power_word(1e6) == 255 << 24 | 2**23


def test_nibbles_hold_both_halves_of_a_row() -> None:
    packed = pack_nibbles(np.array([[-7, 0, 7]], np.int8))
    assert packed.tolist() == [[1 | 15 << 4, 8 | 8 << 4]]


def test_identifiers() -> None:
    cases = {"CLINC 150": "clinc_150", "32KB": "32kb", '*/ "x" \\': "x", "": "model", "привет": "model", "_a__b-": "a_b"}
    assert {name: c_identifier(name) for name in cases} == cases


@pytest.mark.parametrize("name", ['*/ #error "x" ??/', "a\nb", "32KB", "übung"])
def test_any_name_gives_a_header_that_compiles(tmp_path: Path, name: str) -> None:
    program = utterance_program()
    write(tmp_path, program, name)
    assert CExporter().open(tmp_path, name=name).predict(inputs(program, 2)).shape[1] == 7


def test_export_is_a_pure_function() -> None:
    first, second = (exporter("c").export(sequence_program(), name="demo") for _ in range(2))
    assert first == second
    assert sorted(first) == ["example.c", "model.h", "understudy.h"]


def test_headers_hold_no_float_constants() -> None:
    header = CExporter().export(sequence_program(classes=100), name="demo")["model.h"].decode()
    assert "static const float" not in header
    assert header.count("float") == 2, "the scores in the signature and in the usage comment"


def test_weights_in_four_bits_weigh_half() -> None:
    def weight_bytes(bits: int) -> int:
        rows = CExporter().byte_table(sequence_program(bits=bits), name="demo")
        return sum(size for where, size in rows if where.startswith("linear"))

    assert weight_bytes(4) < 0.75 * weight_bytes(8)  # biases, scales and descriptors are the same


def test_byte_table_names_every_layer_and_the_projection() -> None:
    rows = dict(CExporter().byte_table(sequence_program(), name="demo"))
    assert rows["projection constants"] == 0
    assert {"linear tokens", "linear context", "linear logits", "code: projection", "code: softmax"} <= set(rows)
    assert "code: window" not in rows, "the window is read in place by the layer behind it"


def test_single_calls_are_timed_in_c(tmp_path: Path) -> None:
    program = utterance_program()
    byte_ids = inputs(program, 4)
    times_us = session(tmp_path, program).time_us(byte_ids, 5)
    assert times_us.shape == (5, len(byte_ids))
    assert (times_us > 0).all()
    assert np.median(times_us) < 1000


def test_wrong_input_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bytes are int32 \[batch, 64\]: received shape=\(1, 65\)"):
        session(tmp_path, utterance_program()).predict(np.zeros((1, 65), np.int32))


def test_missing_compiler_is_a_setup_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, utterance_program())
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SetupError, match="needs a C compiler: received CC='no-such-compiler' not found; install gcc"):
        CExporter().open(tmp_path, name="demo")


def test_export_and_byte_table_need_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert shutil.which("cc") is None
    assert CExporter().export(utterance_program(), name="demo")
    assert sum(size for _, size in CExporter().byte_table(utterance_program(), name="demo")) > 2000


def test_a_broken_header_is_named(tmp_path: Path) -> None:
    write(tmp_path, utterance_program())
    (tmp_path / "model.h").write_text("#error broken\n")
    with pytest.raises(VerificationError, match=r"a generated header compiles: received folder=.*broken"):
        CExporter().open(tmp_path, name="demo")


def test_a_float_program_is_refused() -> None:
    with pytest.raises(InputError, match="the C format holds integer programs"):
        CExporter().export(Program(utterance_program().nodes), name="demo")


def test_texts_beyond_the_integer_types_are_refused() -> None:
    program = utterance_program()
    projection = replace(program.projection, max_bytes=7000)
    wide = Program((replace(program.nodes[0], projection=projection), *program.nodes[1:]), program.quantization)
    with pytest.raises(InputError, match=r"max_bytes \* orders in the C format is at most 32767: received .*=35000"):
        CExporter().export(wide, name="demo")


@pytest.mark.parametrize("labels", [None, ['a"b', "c\\d??/", "e\nf\t*/", "naïve", "", "%s", "ordinary"]])
def test_the_example_compiles_with_the_line_it_states(tmp_path: Path, labels: list[str] | None) -> None:
    program = utterance_program()
    write(tmp_path, program, labels=labels)
    first_line = (tmp_path / "example.c").read_text().splitlines()[0]
    compile_line = first_line.removeprefix("/* ").split(" && ")[0]
    subprocess.run(["sh", "-c", compile_line], cwd=tmp_path, check=True)
    text = "move my meeting to friday"
    program_path = str(tmp_path / "example")
    from_argument = subprocess.run([program_path, text], check=True, capture_output=True).stdout.decode()
    from_input = subprocess.run([program_path], check=True, capture_output=True, input=f"{text}\n".encode()).stdout.decode()
    scores = run(program, encode([text], max_bytes=64)).probabilities[0]
    names = labels or [str(i) for i in range(7)]
    expected = "".join(f"{name} {score:.6f}\n" for name, score in zip(names, scores.tolist(), strict=True))
    for output in (from_argument, from_input):
        assert output == f"best {names[int(scores.argmax())]}\n{expected}"
