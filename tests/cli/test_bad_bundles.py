"""A bundle that is not as it was written: one line, exit code 5, and nothing changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from command import contents, understudy


@dataclass(frozen=True)
class Damage:
    name: str
    apply: Callable[[Path], object]
    message: str


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def next_version(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))


DAMAGES = (
    Damage("altered byte", lambda f: flip(f / "model.onnx", 300), "model.onnx: another content than was written"),
    Damage("truncated file", lambda f: os.truncate(f / "model.tflite", 40), "model.tflite: 40 bytes where "),
    Damage("missing file", lambda f: (f / "model.h").unlink(), "model.h: No such file or directory"),
    Damage("next format version", next_version, "a bundle has format version 1 here: received format_version=2 in "),
    Damage("no manifest", lambda f: (f / "manifest.json").unlink(), "a bundle is a folder with a manifest.json: "),
    Damage(
        "manifest is not JSON", lambda f: (f / "manifest.json").write_text("not JSON"), "manifest.json: the file: Invalid JSON"
    ),
    Damage("unreadable manifest", lambda f: (f / "manifest.json").write_bytes(os.urandom(100)), "manifest.json: "),
)


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_it_is_refused_in_one_line(bundle: Path, tmp_path: Path, damage: Damage, verb: str) -> None:
    (tmp_path / "test.csv").write_text("text,label\nhello,other\n")
    damage.apply(bundle)
    before = contents(tmp_path)
    last = "hello" if verb == "predict" else tmp_path / "test.csv"
    outcome = understudy(verb, bundle, last)
    assert outcome.exit_code == 5
    assert outcome.out == ""
    assert outcome.err.startswith("error: a bundle ")
    assert damage.message in outcome.err
    assert f"'{bundle}'" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert contents(tmp_path) == before


def test_with_json_the_error_is_a_document(bundle: Path) -> None:
    flip(bundle / "model.onnx", 300)
    outcome = understudy("predict", bundle, "hello", "--json")
    assert outcome.exit_code == 5
    error = json.loads(outcome.out)["error"]
    assert error["type"] == "BundleError"
    assert error["exit_code"] == 5
    assert f"error: {error['message']}\n" == outcome.err


def test_a_folder_without_a_bundle_and_a_path_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "absent"):
        outcome = understudy("predict", tmp_path / place, "hello")
        assert outcome.exit_code == 5
        assert "a bundle is a folder with a manifest.json: received bundle=" in outcome.err
        assert len(outcome.err.splitlines()) == 1


def test_a_family_says_which_bundles_it_has(bundle: Path) -> None:
    (bundle.parent / "family.json").write_text("{}")
    outcome = understudy("predict", bundle.parent, "hello")
    assert outcome.exit_code == 5
    assert outcome.err.endswith("add one of its members to the path: 16KB\n")
