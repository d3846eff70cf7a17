"""The programs that the report shows, run as they are shown."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

from bundles import LABELS, NAME, make_bundle
from families import clinc_like_family
from image_programs import image_program, pictures
from programs import sequence_program
from recordings import write_wav
from understudy.family import Member
from understudy.program.interpreter import run
from understudy.program.real import real_probabilities
from understudy.projections.text import encode
from understudy.report.page import render_card, render_report
from understudy.report.snippets import Snippet, snippets
from understudy.testing.sound_programs import sound_program
from wasm_tools import needs_wasm

BUDGET = "16KB"
THRESHOLD = 0.2
PROGRAM = sequence_program()
TEXTS = (
    "play some music",
    "",
    "naïve café — schön, привет 你好",
    "x" * 300,
    "MOVE my meeting, to 7:30!",
    '"quoted" $(id) `id`',
)
MEMBER = clinc_like_family().members[0].model_copy(update={"name": NAME, "input_bytes": 64})
ADDED = tuple(
    MEMBER.files[0].model_copy(update={"format": name, "path": f"{BUDGET}/{filename}"})
    for name, filename in (
        ("python", "model.py"),
        ("wasm", "model.wasm"),
        ("executorch", "model.pte"),
        ("executorch_xnnpack", "model_xnnpack.pte"),
        ("coreml", "model.mlpackage.zip"),
        ("onnx_float", "model_float.onnx"),
        ("litert_float", "model_float.tflite"),
        ("coreml_float", "model_float.mlpackage.zip"),
        ("executorch_float", "model_float.pte"),
        ("c_float", "model_float.h"),
        ("wasm_float", "model_float.wasm"),
        ("python_float", "model_float.py"),
    )
)
"""Files of formats that are not written by default."""
EVERY_FORMAT = MEMBER.model_copy(update={"files": (*MEMBER.files, *ADDED)})


def of_platform(platform: str, member: Member = MEMBER) -> Snippet:
    return next(snippet for snippet in snippets(member) if snippet.platform.startswith(platform))


def expected(text: str, *, threshold: float | None) -> tuple[int, str, float]:
    """Return best class, label to print and score as the reference computes them."""
    scores = run(PROGRAM, encode([text], max_bytes=64)).probabilities[0]
    best = int(scores.argmax())
    accepted = threshold is None or scores[best] >= np.float32(threshold)
    return best, LABELS[best] if accepted else "none of these", float(scores[best])


def output(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def check_labelled(printed: str, text: str, *, threshold: float | None) -> None:
    _, label, score = expected(text, threshold=threshold)
    assert printed.endswith("\n")
    shown, _, number = printed[:-1].rpartition(" ")
    assert shown == label
    assert float(number) == pytest.approx(score, abs=2e-6)


@pytest.mark.parametrize("threshold", [None, THRESHOLD], ids=["no threshold", "threshold"])
@pytest.mark.parametrize("platform", ["Python, ONNX Runtime", "Python, LiteRT"])
def test_python_programs_answer_as_the_reference_does(tmp_path: Path, platform: str, threshold: float | None) -> None:
    snippet = of_platform(platform)
    make_bundle(tmp_path / BUDGET, formats=[snippet.format], threshold=threshold)
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    for text in TEXTS:
        check_labelled(output([sys.executable, snippet.filename, text], tmp_path), text, threshold=threshold)


@pytest.mark.parametrize(
    "platform",
    [
        "Python, ONNX Runtime in float",
        "Python, LiteRT in float",
        "Python, in float",
        pytest.param("Python, ExecuTorch in float", marks=pytest.mark.slow),
    ],
)
def test_programs_for_files_in_float_answer_as_in_real_numbers(tmp_path: Path, platform: str) -> None:
    snippet = of_platform(platform, EVERY_FORMAT)
    make_bundle(tmp_path / BUDGET, formats=[snippet.format])
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    scores = real_probabilities(PROGRAM, encode([TEXTS[2]], max_bytes=64))[0]
    shown, _, number = output([sys.executable, snippet.filename, TEXTS[2]], tmp_path).rstrip("\n").rpartition(" ")
    assert shown == LABELS[int(scores.argmax())]
    assert float(number) == pytest.approx(float(scores.max()), abs=2e-6)


def test_the_threshold_of_these_tests_separates() -> None:
    labels = {expected(text, threshold=THRESHOLD)[1] == "none of these" for text in TEXTS}
    assert labels == {True, False}


def test_the_c_program_compiles_by_its_own_line_and_answers_as_the_reference_does(tmp_path: Path) -> None:
    snippet = of_platform("C")
    make_bundle(tmp_path / BUDGET, formats=["c"])
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    first = output(["sh", "-c", snippet.setup], tmp_path)
    assert first.split()[0] == str(expected("move my meeting to friday", threshold=None)[0])
    strict = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", BUDGET, snippet.filename, "-o", "strict"]
    output(strict, tmp_path)
    for text in TEXTS:
        best, _, score = expected(text, threshold=None)
        shown, number = output(["./predict", text], tmp_path).split()
        assert int(shown) == best
        assert float(number) == pytest.approx(score, abs=2e-6)


@pytest.mark.parametrize("threshold", [None, THRESHOLD], ids=["no threshold", "threshold"])
@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("Python, NumPy", sys.executable),
        pytest.param("WebAssembly", "node", marks=needs_wasm),
        pytest.param("Python, ExecuTorch", sys.executable, marks=pytest.mark.slow),
        pytest.param("Python, ExecuTorch with XNNPACK", sys.executable, marks=pytest.mark.slow),
    ],
)
def test_programs_of_the_other_formats_answer_as_the_reference_does(
    tmp_path: Path, platform: str, command: str, threshold: float | None
) -> None:
    snippet = of_platform(platform, EVERY_FORMAT)
    make_bundle(tmp_path / BUDGET, formats=[snippet.format], threshold=threshold)
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    for text in TEXTS:
        check_labelled(output([command, snippet.filename, text], tmp_path), text, threshold=threshold)


@pytest.mark.parametrize("threshold", [None, THRESHOLD], ids=["no threshold", "threshold"])
@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("Python, NumPy", sys.executable),
        pytest.param("WebAssembly", "node", marks=needs_wasm),
        pytest.param("Python, ExecuTorch", sys.executable, marks=pytest.mark.slow),
        pytest.param("Python, ExecuTorch with XNNPACK", sys.executable, marks=pytest.mark.slow),
    ],
)
def test_programs_for_images_answer_as_the_reference_does(
    tmp_path: Path, platform: str, command: str, threshold: float | None
) -> None:
    program = image_program()
    files = tuple(file for file in EVERY_FORMAT.files if file in ADDED)
    recipe = {**MEMBER.recipe, "image_shape": program.source.input_shape}
    snippet = of_platform(platform, EVERY_FORMAT.model_copy(update={"files": files, "recipe": recipe}))
    make_bundle(tmp_path / BUDGET, program=program, formats=[snippet.format], threshold=threshold)
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    images = pictures(program, 3)
    for image, scores in zip(images, run(program, images).probabilities, strict=True):
        (tmp_path / "pixels.bin").write_bytes(image.tobytes())
        printed = output([command, snippet.filename, "pixels.bin"], tmp_path)
        accepted = threshold is None or scores.max() >= np.float32(threshold)
        assert printed == f"{LABELS[scores.argmax()] if accepted else 'none of these'} {scores.max():.6f}\n"


@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("Python, ONNX", [sys.executable]),
        ("Python, LiteRT", [sys.executable]),
        ("Python, NumPy", [sys.executable]),
        ("C", ["sh", "-c"]),
        pytest.param("WebAssembly", ["node"], marks=needs_wasm),
    ],
)
def test_programs_for_sounds_answer_as_the_reference_does(tmp_path: Path, platform: str, command: list[str]) -> None:
    program = sound_program()
    recipe = {**MEMBER.recipe, "image_shape": [12, 32, 1], "sound": {"samples": 1664, "sample_rate": 8000}}
    snippet = of_platform(platform, EVERY_FORMAT.model_copy(update={"recipe": recipe}))
    make_bundle(tmp_path / BUDGET, program=program, formats=[snippet.format])
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    for length in (1664, 1201, 2000) if snippet.filename.endswith(".py") else (1664,):
        sound = (np.random.default_rng(length).normal(0, 900, length)).astype(np.int16)
        write_wav(tmp_path / "sound.wav", sound / 32767, rate=8000)
        (tmp_path / "samples.raw").write_bytes(sound.tobytes())
        cut = np.zeros(1664, np.int16)
        if length > 1664:
            cut = sound[(length - 1664) // 2 :][:1664]
        else:
            cut[(1664 - length) // 2 :][:length] = sound
        [scores] = run(program, cut[None]).probabilities
        printed = output([*command, snippet.setup if platform == "C" else snippet.filename], tmp_path)
        best = scores.argmax() if platform == "C" else LABELS[scores.argmax()]
        assert printed == f"{best} {scores.max():.6f}\n"


def test_the_program_for_xnnpack_answers_for_one_text(tmp_path: Path) -> None:
    """Quick: what the runtime does with a file of ours that it opens itself may be to stop."""
    snippet = of_platform("Python, ExecuTorch with XNNPACK", EVERY_FORMAT)
    make_bundle(tmp_path / BUDGET, formats=[snippet.format])
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    check_labelled(output([sys.executable, snippet.filename, TEXTS[0]], tmp_path), TEXTS[0], threshold=None)


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the JavaScript program needs node")
    return node


def test_the_javascript_program_sends_the_bytes_that_the_reference_reads(tmp_path: Path) -> None:
    function = re.search(r"^function encode.*?^}$", of_platform("JavaScript").code, flags=re.DOTALL | re.MULTILINE)
    assert function is not None
    (tmp_path / "encode.mjs").write_text(f"{function[0]}\nconsole.log(encode(JSON.parse(process.argv[2]), 64).join(' '));\n")
    for text in (*TEXTS, "nul\0inside"):
        printed = output([_node(), "encode.mjs", json.dumps(text)], tmp_path)
        assert printed.split() == [str(value) for value in encode([text], max_bytes=64)[0]]


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [None, THRESHOLD], ids=["no threshold", "threshold"])
def test_the_javascript_program_answers_as_the_reference_does(tmp_path: Path, threshold: float | None) -> None:
    snippet = of_platform("JavaScript")
    install, start = snippet.setup.split(" && ")
    assert start == f"node {snippet.filename}"
    make_bundle(tmp_path / BUDGET, formats=["onnx"], threshold=threshold)
    (tmp_path / snippet.filename).write_text(snippet.code, encoding="utf-8")
    node = _node()
    output([*install.split(), "--no-audit", "--no-fund"], tmp_path)
    for text in TEXTS:
        check_labelled(output([node, snippet.filename, text], tmp_path), text, threshold=threshold)


@pytest.mark.parametrize(
    ("platform", "stem", "units"),
    [("Swift, Core ML", "model", "cpuOnly"), ("Swift, Core ML in float", "model_float", "cpuAndGPU")],
    ids=["integers", "float"],
)
@pytest.mark.parametrize("image", [False, True], ids=["text", "image"])
def test_the_swift_program_for_core_ml_is_not_called_executed(image: bool, platform: str, stem: str, units: str) -> None:
    recipe = {**MEMBER.recipe, **({"image_shape": [13, 10, 3]} if image else {})}
    snippet = of_platform(platform, EVERY_FORMAT.model_copy(update={"files": ADDED, "recipe": recipe}))
    assert not snippet.executed
    assert f"shape: [1, {'13, 10, 3' if image else '64'}], dataType: .int32" in snippet.code
    assert snippet.setup == f"unzip {BUDGET}/{stem}.mlpackage.zip"
    assert f"drag {stem}.mlpackage into" in snippet.code
    assert f'forResource: "{stem}"' in snippet.code
    assert f"computeUnits = .{units} //" in snippet.code


def test_the_page_and_the_card_show_these_very_programs() -> None:
    family = clinc_like_family().model_copy(update={"members": (MEMBER,)})
    page, card = render_report(family), render_card(family, MEMBER)
    for snippet in snippets(MEMBER):
        assert escape(snippet.code.strip()) in page
        assert (snippet.code.strip() in card) is snippet.executed


def test_only_programs_for_the_members_formats_are_shown() -> None:
    only_c = MEMBER.model_copy(update={"files": tuple(file for file in MEMBER.files if file.format == "c")})
    assert [snippet.platform for snippet in snippets(only_c)] == ["C", "Swift, iOS and macOS"]


def test_a_folder_with_a_space_is_quoted_for_the_shell() -> None:
    spaced = MEMBER.model_copy(update={"path": "16 KB"})
    assert "-I '16 KB' " in of_platform("C", spaced).setup
