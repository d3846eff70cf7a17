"""``understudy bench`` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bundles import make_bundle
from command import contents, understudy
from emulators import need_microcontrollers, small_board
from families import clinc_like_family
from understudy.bundle.vectors import synthetic_images
from understudy.family import Family
from understudy.testing.token_programs import token_program

FIELDS = {"target", "runtime", "measured", "exact", "latency_us", "instructions", "flash_bytes", "ram_bytes"}


def test_one_table_in_which_estimates_are_marked(written_bundle: Path) -> None:
    need_microcontrollers()
    before = contents(written_bundle)
    outcome = understudy("bench", written_bundle, "--on", "host", "--on", "cortex-m4", "--format", "c")
    assert outcome.exit_code == 0, outcome.err
    head, host, core, *rest = outcome.out.splitlines()
    columns = ["target", "format", "latency", "instructions", "flash", "RAM", "exact", "runtime"]
    assert head.split() == columns
    assert host.startswith("host")
    assert "~" not in host
    assert core.startswith("cortex-m4")
    assert "~" in core
    assert any(line.startswith("~ an estimate") and "nothing was timed" in line for line in rest)
    assert any(line.startswith("cortex-m4 c: worst score difference") for line in rest)
    assert contents(written_bundle) == before


def test_json_has_the_list(written_bundle: Path) -> None:
    need_microcontrollers()
    outcome = understudy("bench", written_bundle, "--on", "host", "--on", "cortex-m0", "--json")
    assert outcome.exit_code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["recorded"] is None
    assert document["error"] is None
    found = document["measurements"]
    assert [(each["target"], each["measured"]) for each in found] == [("host", True)] * 3 + [("cortex-m0", False)]
    assert all(set(each) >= FIELDS for each in found)
    assert all(set(each["latency_us"]) == {"median", "p10", "p90"} for each in found)


def test_inside_a_family_it_is_added_to_the_record_and_the_report(bundle: Path) -> None:
    need_microcontrollers()
    family = clinc_like_family()
    for member in family.members[1:]:
        (bundle.parent / member.path).mkdir()
    family.save(bundle.parent)
    for _ in range(2):  # the second replaces the first
        outcome = understudy("bench", bundle, "--on", "cortex-m4", "--on", "host", "--format", "c")
        assert outcome.exit_code == 0, outcome.err
        assert f"added to {bundle.parent / 'report.html'}" in outcome.out
    members = Family.load(bundle.parent).members
    assert [(m.target, m.format) for m in members[0].measurements] == [("cortex-m4", "c"), ("host", "c")]
    assert not members[1].measurements
    page = (bundle.parent / "report.html").read_text("utf-8")
    assert "Measured" in page
    assert "Estimated" in page
    assert "mps2-an386" in page


def test_what_was_measured_is_shown_where_the_family_cannot_be_written(bundle: Path) -> None:
    clinc_like_family().save(bundle.parent)  # the folders of its other members are not there
    outcome = understudy("bench", bundle, "--format", "onnx")
    assert outcome.exit_code == 4
    assert outcome.out.splitlines()[1].split()[:2] == ["host", "onnx"]
    assert "added to" not in outcome.out
    [error] = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: members of a family lie in folders of their names: received folder=")
    assert error.endswith(" without '32KB'; move or rename it back, or run the job again")
    outcome = understudy("bench", bundle, "--format", "onnx", "--json")
    assert outcome.exit_code == 4
    document = json.loads(outcome.out)
    assert [each["format"] for each in document["measurements"]] == ["onnx"]
    assert document["recorded"] is None
    assert f"error: {document['error']['message']}" == error


def test_what_lacks_a_tool_is_named_and_the_rest_is_measured(written_bundle: Path, tmp_path: Path) -> None:
    targets = ("--on", "cortex-m4", "--on", "host", "--on", "android-mid")
    outcome = understudy("bench", written_bundle, *targets, environment={"PATH": str(tmp_path)})
    assert outcome.exit_code == 4
    assert [line.split()[:2] for line in outcome.out.splitlines()[1:3]] == [["host", "onnx"], ["host", "litert"]]
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert errors[0].startswith("error: running on cortex-m4 needs")
    assert "cc" in errors[1]
    assert errors[2].startswith("error: running on android-mid needs adb: received adb not found; install it")

    outcome = understudy("bench", written_bundle, *targets, "--json", environment={"PATH": str(tmp_path)})
    assert outcome.exit_code == 4
    document = json.loads(outcome.out)
    assert [each["format"] for each in document["measurements"]] == ["onnx", "litert"]
    assert [f"error: {each}" for each in document["not_measured"]] == errors
    assert document["error"] == {"type": "SetupError", "message": document["not_measured"][-1], "exit_code": 4}


def test_a_file_without_a_runtime_here_is_said_and_no_failure(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", formats=("python", "coreml")).folder
    outcome = understudy("bench", made)
    assert outcome.exit_code == 0, outcome.err
    (line,) = [line for line in outcome.err.splitlines() if "coreml" in line]
    assert line.startswith("not measured: a file is timed in its own runtime: received format='coreml', where ")
    document = json.loads(understudy("bench", made, "--json").out)
    assert [f"not measured: {each}" for each in document["not_measured"]] == [line]
    assert document["error"] is None

    outcome = understudy("bench", made, "--format", "python", "--format", "coreml")
    assert outcome.exit_code == 4
    assert f"error: {line.removeprefix('not measured: ')}" in outcome.err.splitlines()


def test_a_device_that_the_model_does_not_fit_stops_no_other(written_bundle: Path, tmp_path: Path) -> None:
    need_microcontrollers()
    targets = ("--on", small_board(tmp_path, flash=4096, ram=8192), "--on", "host", "--format", "c")
    outcome = understudy("bench", written_bundle, *targets)
    assert outcome.exit_code == 3
    assert [line.split()[:2] for line in outcome.out.splitlines()[1:2]] == [["host", "c"]]
    (error,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: a model fits its device: received target=small")


def test_where_nothing_can_be_measured_there_is_no_table(written_bundle: Path, tmp_path: Path) -> None:
    outcome = understudy("bench", written_bundle, "--on", "cortex-m4", "--on", "browser", environment={"PATH": str(tmp_path)})
    assert outcome.exit_code == 4
    assert outcome.out == ""
    assert "error: running on cortex-m4 needs" in outcome.err


def test_a_test_split_is_pushed_through(written_bundle: Path, tiny_csv: Path) -> None:
    need_microcontrollers()
    outcome = understudy("bench", written_bundle, "--on", "cortex-m3", "--test", tiny_csv, "--json")
    assert outcome.exit_code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["origin"] == tiny_csv.name
    assert document["examples"] == document["measurements"][0]["examples"] == len(tiny_csv.read_text().splitlines()) - 1
    assert document["measurements"][0]["exact"]


def test_float_islands_within_their_bound_are_no_failure(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", program=token_program(), formats=("litert",))
    assert made.manifest.image_shape is not None
    np.savez(tmp_path / "pictures.npz", x=synthetic_images(made.manifest.image_shape, count=3000, seed=3))
    outcome = understudy("bench", made.folder, "--on", "host", "--test", tmp_path / "pictures.npz")
    assert outcome.exit_code == 0, outcome.err
    assert "within the bound of float islands, 0 labels differ" in outcome.out
    assert " near " in outcome.out
