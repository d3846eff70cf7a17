"""``understudy doctor`` tells what is there, and how to get what is not."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from command import understudy
from understudy import environment
from understudy.devices import browser_onnx
from understudy.formats import FORMATS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_json_lists_formats_teachers_and_packages() -> None:
    document = json.loads(understudy("doctor", "--json").out)
    assert [row["name"] for row in document["formats"]] == list(FORMATS)
    assert all(row["available"] for row in document["formats"])
    versions = {row["name"]: row["version"] for row in document["packages"]}
    assert re.match(r"\d+\.", versions["numpy"])
    machine, card = document["processors"]
    assert (machine["name"], machine["how"], card["name"]) == ("processor", "processor, float32", "graphics card")
    assert card["available"] or ("torch" in card["how"] and card["install"])
    assert {row["name"].split()[0] for row in document["teachers"]} >= {"Python", "torch", "saved", "ONNX", "LiteRT", "auto"}


def test_text_says_the_same() -> None:
    outcome = understudy("doctor")
    assert outcome.exit_code == 0
    assert outcome.err == ""
    assert re.search(r"^onnx +yes +onnx \d", outcome.out, re.MULTILINE)
    assert re.search(r"^c +yes +\S*cc: ", outcome.out, re.MULTILINE)


def test_what_is_missing_comes_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = environment.find_spec
    gone = ("onnxruntime", "ai_edge_litert", "pyarrow")
    monkeypatch.setattr(environment, "find_spec", lambda name: None if name in gone else real(name))
    found = environment.inspect_environment()
    abilities = {row.name: row for row in (*found.formats, *found.teachers, *found.inputs)}
    assert not abilities["onnx"].available
    assert abilities["onnx"].how == "missing: onnxruntime"
    assert abilities["onnx"].install == "pip install 'understudy[onnx]'"
    assert abilities["litert"].install == "pip install 'understudy[litert]'"
    assert abilities["Parquet"].install == "pip install 'understudy[parquet]'"
    assert abilities["ONNX file (.onnx)"].install == "pip install 'understudy[onnx]'"
    assert abilities["saved logits (.npz)"].available
    assert {p.name: p.version for p in found.packages}["pyarrow"] is None


def test_every_package_that_is_installed_is_found() -> None:
    for package in environment.inspect_environment().packages:
        try:
            installed = version(package.name)
        except PackageNotFoundError:
            continue
        assert package.version == installed, package.name


def test_a_missing_compiler_is_said_with_the_step() -> None:
    outcome = understudy("doctor", "--json", environment={"CC": "no-such-cc"})
    row = next(row for row in json.loads(outcome.out)["formats"] if row["name"] == "c")
    assert row["available"] is False
    assert row["how"] == "missing: CC='no-such-cc' not found"
    assert row["install"].startswith("install gcc or clang")


def test_targets_name_the_commands_that_they_need(tmp_path: Path) -> None:
    rows = json.loads(understudy("doctor", "--json", environment={"PATH": str(tmp_path)}).out)["targets"]
    assert [row["name"] for row in rows] == [*environment.TARGETS, "browser, ONNX files"]
    assert not any(row["available"] for row in rows[:-1])
    assert rows[0]["how"] == "missing: arm-none-eabi-gcc, qemu-system-arm"
    assert rows[0]["install"] == "make devices"


def test_onnx_runtime_web_comes_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_onnx.sys, "prefix", str(tmp_path))
    row = environment.inspect_environment().targets[-1]
    assert (row.available, row.how, row.install) == (False, "missing: ONNX Runtime Web", "make onnxruntime-web")


def test_the_packages_are_those_of_the_project_file() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> tuple[str, ...]:
        return tuple(re.split(r"[<>=\[; ]", requirement)[0] for requirement in requirements)

    assert names(project["dependencies"]) == environment.REQUIRED
    extras = {extra: names(needed) for extra, needed in project["optional-dependencies"].items() if extra not in ("all", "dev")}
    assert extras == environment.EXTRAS
