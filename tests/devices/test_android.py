"""Android over adb, with a stand-in for adb and the phone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import make_bundle
from image_programs import image_program
from understudy.bundle import Bundle
from understudy.devices.android import TOOL_VARIABLE
from understudy.devices.bench import bench, bundle_examples
from understudy.devices.runner import Examples
from understudy.errors import InputError, SetupError, VerificationError
from understudy.program.interpreter import Scores
from understudy.program.ops import Program
from understudy.testing.sound_programs import sound_program
from understudy.testing.vector_programs import vector_program

STAND_IN = Path(__file__).with_name("stand_in_for_adb.py")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with the LiteRT format."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "16KB", formats=("litert",))


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is the device."""
    adb = tmp_path / "bin" / "adb"
    adb.parent.mkdir()
    adb.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    adb.chmod(0o755)
    tool = tmp_path / "android_aarch64_benchmark_model"
    tool.write_bytes(b"a program for a phone")
    device = tmp_path / "device"
    device.mkdir()
    monkeypatch.setenv("PATH", f"{adb.parent}:/usr/bin:/bin")
    monkeypatch.setenv("ADB_DEVICE", str(device))
    monkeypatch.setenv(TOOL_VARIABLE, str(tool))
    return device


def few(bundle: Bundle) -> Examples:
    examples = bundle_examples(bundle)
    scores = Scores(examples.reference.logits[4:7], examples.reference.probabilities[4:7])
    return replace(examples, inputs=examples.inputs[4:7], reference=scores)


def test_the_tool_runs_every_text_and_its_scores_are_compared(bundle: Bundle, phone: Path) -> None:
    (found,) = bench(bundle, ["android-mid"], examples=few(bundle))
    assert found.exact
    assert found.measured
    assert found.examples == 3
    assert found.latency_us is not None
    assert found.latency_us.median == 81
    assert found.runtime == "LiteRT benchmark tool on Stand-in 1"
    assert "tested against a stand-in for adb, not on a device" in found.note
    assert not [path for path in phone.rglob("*") if path.is_file()], "something was left on the device"


@pytest.mark.parametrize("program", [image_program(), vector_program(), sound_program()], ids=["image", "numbers", "sound"])
@pytest.mark.usefixtures("phone")
def test_the_tool_is_told_the_input_by_its_name(tmp_path: Path, program: Program) -> None:
    bundle = make_bundle(tmp_path / "b", program=program, formats=("litert",))
    (found,) = bench(bundle, ["android-mid"], examples=few(bundle))
    assert found.exact


def test_wrong_scores_are_found(bundle: Bundle, phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADB_MISBEHAVES", "wrong scores")
    (found,) = bench(bundle, ["watch"], examples=few(bundle))
    assert not found.exact
    assert not [path for path in phone.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("two devices", SetupError, "needs one device: received devices=2"),
        ("devices", SetupError, "received adb devices says 'error: device offline"),
        ("push", SetupError, "received adb push says 'error: device offline"),
        ("old tool", VerificationError, "the tool says count= and median= of warm-up and run"),
    ],
)
@pytest.mark.usefixtures("phone")
def test_what_goes_wrong_is_one_line(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, how: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setenv("ADB_MISBEHAVES", how)
    with pytest.raises(error, match=message):
        bench(bundle, ["android-mid"], examples=few(bundle))


@pytest.mark.usefixtures("phone")
def test_what_is_missing_is_named(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOOL_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(SetupError, match=f"needs LiteRT's benchmark tool for Android: received {TOOL_VARIABLE}="):
        bench(bundle, ["android-high"], examples=few(bundle))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="needs adb: received adb not found"):
        bench(bundle, ["android-high"], examples=few(bundle))
    with pytest.raises(InputError, match="runs the LiteRT format"):
        bench(make_bundle(tmp_path / "b", formats=("c",)), ["android-high"], examples=few(bundle))
