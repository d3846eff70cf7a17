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


@pytest.mark.parametrize("name", ["mixer.json", "text.json", "dense.json", "envelope.json"])
def test_vectors_are_regenerated_equal(name: str, regenerated: dict[str, str]) -> None:
    assert (SPEC / "vectors" / name).read_text(encoding="ascii") == regenerated[name]


def test_the_reference_is_short_and_uses_the_standard_library_only() -> None:
    for name, modules in (("reference.py", {"functools"}), ("reference_envelope.py", {"hashlib", "hmac"})):
        source = (SPEC / name).read_text(encoding="utf-8")
        assert len(source.splitlines()) < 120
        tree = ast.parse(source)
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert imported == modules | {"__future__", "typing"}
