"""The word in the command is the word in the path, in the test and in the extra."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args

import pytest

from understudy.formats import FLOAT_FORMATS, FORMATS
from understudy.students.recipe import StudentName

REPOSITORY = Path(__file__).resolve().parents[1]
VERBS = ("init", "compress", "predict", "evaluate", "bench", "export", "demo", "report", "study", "devices", "doctor")
WORDS = [
    *(("cli", verb) for verb in VERBS),
    *(("export", name) for name in FORMATS),
    *(("students", name) for name in get_args(StudentName)),
]


@pytest.mark.parametrize(("folder", "word"), WORDS)
def test_a_word_has_a_module_and_a_test(folder: str, word: str) -> None:
    assert (REPOSITORY / "src" / "understudy" / folder / f"{word}.py").is_file()
    assert (REPOSITORY / "tests" / folder / f"test_{word}.py").is_file()


def test_formats_that_need_packages_are_extras() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    without = {"c", "python", "wasm", "arduino", "executorch_xnnpack"}  # the last one comes with ExecuTorch's
    assert set(FORMATS) - without - set(FLOAT_FORMATS) <= set(project["optional-dependencies"])


def test_no_name_tells_nothing() -> None:
    empty = {"utils", "helpers", "common", "misc", "core", "manager"}
    paths = [path for top in ("src", "tests", "benchmarks", "device", "docs", "spec") for path in (REPOSITORY / top).rglob("*")]
    assert len(paths) > 50
    assert not [path for path in paths if path.stem in empty]


def test_files_are_short() -> None:
    long = {
        str(path): count for path in (REPOSITORY / "src").rglob("*.py") if (count := len(path.read_text().splitlines())) >= 400
    }
    assert not long
