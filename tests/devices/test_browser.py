"""A page in a real browser runs the model."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import make_bundle
from command import COMMAND
from emulators import need
from image_programs import image_program
from programs import sequence_program
from understudy.bundle import Bundle
from understudy.data.dataset import load_dataset
from understudy.devices import browser, browser_onnx
from understudy.devices.bench import bench, bundle_examples
from understudy.devices.profile import load_profile
from understudy.errors import InputError, SetupError, VerificationError
from understudy.feasibility import check_budgets
from understudy.job import job_from_arguments
from understudy.program.interpreter import Scores
from understudy.program.ops import Program
from understudy.testing.vector_programs import vector_program


def test_a_page_answers_exactly_and_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium", "clang", "wasm-ld")
    monkeypatch.setattr(browser, "BATCH_MILLISECONDS", 1)
    bundle = make_bundle(tmp_path / "b", formats=("c",))
    examples = bundle_examples(bundle)
    (found,) = bench(bundle, ["browser"], examples=examples)
    assert found.exact
    assert found.measured
    assert found.examples == 64
    assert found.clock_hz is None
    assert found.latency_us is not None
    assert 0 < found.latency_us.p10 <= found.latency_us.median <= found.latency_us.p90
    assert "Chromium" in found.runtime

    wrong = Scores(examples.reference.logits[::-1], examples.reference.probabilities[::-1])
    (other,) = bench(bundle, ["browser"], examples=replace(examples, reference=wrong))
    assert not other.exact


@pytest.mark.parametrize("program", [sequence_program(), image_program()], ids=["text", "image"])
def test_a_bundles_own_webassembly_is_what_runs(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium", "clang", "wasm-ld", "node")
    monkeypatch.setattr(browser, "BATCH_MILLISECONDS", 1)
    bundle = make_bundle(tmp_path / "b", program=program, formats=("wasm",))
    monkeypatch.setattr(browser, "compile_c", None)
    (found,) = bench(bundle, ["browser"], examples=bundle_examples(bundle))
    assert found.exact
    assert found.format == "wasm"
    assert found.runtime.endswith(", WebAssembly")


def test_webassembly_in_float_is_compared_with_real_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium", "clang", "wasm-ld", "node")
    monkeypatch.setattr(browser, "BATCH_MILLISECONDS", 1)
    bundle = make_bundle(tmp_path / "b", formats=("wasm_float",))
    monkeypatch.setattr(browser, "compile_c", None)
    (found,) = bench(bundle, ["browser"], examples=bundle_examples(bundle))
    assert (found.format, found.exact) == ("wasm_float", True)
    assert found.max_probability_difference < 1e-4
    assert found.runtime.endswith(", WebAssembly")


@pytest.mark.onnxruntime_web
@pytest.mark.parametrize(
    "program", [sequence_program(bits=4), image_program(), vector_program()], ids=["text", "image", "vector"]
)
def test_onnx_runtime_web_runs_the_onnx_file(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium", "clang", "wasm-ld", "node")
    monkeypatch.setattr(browser, "BATCH_MILLISECONDS", 1)
    monkeypatch.setattr(browser, "TIMED_INPUTS", 8)
    bundle = make_bundle(tmp_path / "b", program=program, formats=("wasm", "c", "onnx"))
    examples = bundle_examples(bundle)
    ours, web = bench(bundle, ["browser"], examples=examples)
    assert (ours.format, web.format) == ("wasm", "onnx")
    assert ours.exact
    assert web.exact
    assert web.max_probability_difference < 1e-6
    assert web.runtime.endswith(f", ONNX Runtime Web {browser_onnx.VERSION}")
    assert web.latency_us is not None
    assert 0 < web.latency_us.p10 <= web.latency_us.p90


@pytest.mark.onnxruntime_web
def test_a_page_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium")
    bundle = make_bundle(tmp_path / "b", formats=("onnx",))
    examples = bundle_examples(bundle)
    monkeypatch.setattr(Bundle, "read", lambda *_: b"no model")
    with pytest.raises(VerificationError, match="a page runs the model: received .*protobuf.* from Chromium .*; report it"):
        bench(bundle, ["browser"], examples=examples)


def test_make_brings_the_version_that_is_looked_for() -> None:
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text(encoding="utf-8")
    assert f"WEB := onnxruntime-web-{browser_onnx.VERSION}\n" in makefile
    assert f"WEB_FILES := {browser_onnx.MODULE} {browser_onnx.BINARY}\n" in makefile
    assert "$(VENV)/share/understudy/$(WEB)" in makefile


def test_device_browser_writes_webassembly_and_says_what_that_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_profile("browser").formats.names == ("wasm", "onnx")
    monkeypatch.setenv("PATH", str(tmp_path))
    job = job_from_arguments("tests/data/tiny.csv", devices=("browser",))
    with pytest.raises(SetupError, match="writing WebAssembly needs clang and lld: received clang not found; install both"):
        check_budgets(job, load_dataset(job))


def test_a_browser_that_says_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("clang", "wasm-ld")
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\necho broken >&2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    bundle = make_bundle(tmp_path / "b", formats=("c",))
    with pytest.raises(VerificationError, match="a page answers: received exit_code=0 and no answer from chromium 'broken'"):
        bench(bundle, ["browser"], examples=bundle_examples(bundle))


BUSY = """#!/bin/sh
for flag; do case $flag in --user-data-dir=*) profile=${flag#*=};; esac; done
(trap "" INT TERM; while :; do mkdir -p "$profile/Default"; echo . > "$profile/Default/$((n += 1))"; done) &
wait
"""
"""A browser whose other process writes the profile until it is killed."""


def test_ctrl_c_ends_the_whole_browser_and_leaves_nothing(tmp_path: Path) -> None:
    need("clang", "wasm-ld")
    make_bundle(tmp_path / "b", formats=("c",))
    (tmp_path / "chromium").write_text(BUSY)
    (tmp_path / "chromium").chmod(0o755)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(temporary)}
    command = [*COMMAND, "bench", str(tmp_path / "b"), "--on", "browser"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not list(temporary.glob("understudy-browser-*/profile/Default/2*")):
            assert process.poll() is None
            assert time.monotonic() < deadline, "the browser never wrote its profile"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []


def test_a_browser_that_never_ends_is_killed_with_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("clang", "wasm-ld")
    (tmp_path / "chromium").write_text(BUSY)
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(browser, "LIMIT_SECONDS", 0.5)
    bundle = make_bundle(tmp_path / "b", formats=("c",))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(VerificationError, match=r"a page ends: received no end after 0\.5 s"):
        bench(bundle, ["browser"], examples=bundle_examples(bundle))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_webassembly_is_measured_without_onnx_runtime_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium", "clang", "wasm-ld", "node")
    monkeypatch.setattr(browser, "BATCH_MILLISECONDS", 1)
    bundle = make_bundle(tmp_path / "b", formats=("wasm", "onnx"))
    monkeypatch.setattr(browser_onnx.sys, "prefix", str(tmp_path))
    missing: list[SetupError] = []
    (found,) = bench(bundle, ["browser"], examples=bundle_examples(bundle), on_failure=missing.append)
    assert found.format == "wasm"
    assert found.exact
    (error,) = missing
    assert "needs ONNX Runtime Web" in str(error)
    with pytest.raises(SetupError, match="needs ONNX Runtime Web"):
        bench(bundle, ["browser"], examples=bundle_examples(bundle))
    with pytest.raises(SetupError, match="needs ONNX Runtime Web"):
        bench(bundle, ["browser"], examples=bundle_examples(bundle), formats=("onnx",), on_failure=missing.append)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("chromium")
    bundle = make_bundle(tmp_path / "b", formats=("onnx", "python"))
    examples = bundle_examples(bundle)
    with pytest.raises(
        InputError, match="browser runs files that the bundle holds, of wasm, c, onnx, wasm_float: received .* format='c'; run"
    ):
        bench(bundle, ["browser"], examples=examples, formats=("c",))
    with pytest.raises(InputError, match="browser runs files of wasm, c, onnx, wasm_float: received format='python'"):
        bench(bundle, ["browser"], examples=examples, formats=("python",))
    other = make_bundle(tmp_path / "other", formats=("python",))
    with pytest.raises(InputError, match="with formats='python'; run: understudy export BUNDLE --to wasm$"):
        bench(other, ["browser"], examples=examples)
    monkeypatch.setattr(browser_onnx.sys, "prefix", str(tmp_path))
    with pytest.raises(SetupError, match="running an ONNX file on browser needs ONNX Runtime Web: .* make onnxruntime-web, or"):
        bench(bundle, ["browser"], examples=examples)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="running on browser needs Chromium: .* run: make devices"):
        bench(bundle, ["browser"], examples=bundle_examples(bundle))
