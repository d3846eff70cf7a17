"""The golden vectors are what ``spec/reference.py`` gives today, and the reference stays short and independent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import make_vectors

REPOSITORY = Path(__file__).resolve().parents[2]

SPEC = REPOSITORY / "spec"


@pytest.fixture(scope="module")
def regenerated() -> dict[str, str]:
    return make_vectors.all_vectors()


def test_the_folder_holds_exactly_the_generated_files(regenerated: dict[str, str]) -> None:
    assert {path.name for path in (SPEC / "vectors").iterdir()} == set(regenerated)


@pytest.mark.parametrize("name", ["mixer.json", "text.json", "dense.json"])
def test_vectors_are_regenerated_equal(name: str, regenerated: dict[str, str]) -> None:
    assert (SPEC / "vectors" / name).read_text(encoding="ascii") == regenerated[name]


def test_the_reference_is_short_and_uses_the_standard_library_only() -> None:
    source = (SPEC / "reference.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 100
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "functools", "typing"}
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
