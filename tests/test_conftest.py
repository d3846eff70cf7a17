"""The rule that continuous integration skips nothing is itself tested, in a small project of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
SKIPPING = """
import pytest

@pytest.mark.skip(reason="a tool is missing")
def test_marked(): ...

def test_called():
    pytest.skip("a file is missing")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure():
    assert False

def test_passing(): ...
"""
SKIPPING_MODULE = """
import pytest
pytest.importorskip("a_package_that_does_not_exist")
"""


def run(folder: Path, *, ci: bool, shared: bool) -> str:
    tests = folder / "repository" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_skipping.py").write_text(SKIPPING)
    (tests / "test_skipping_module.py").write_text(SKIPPING_MODULE)
    if shared:
        (folder / "shared").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "PYTEST", "COV"))}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--continue-on-collection-errors", "--rootdir", str(tests)]
    command = [sys.executable, "-m", "pytest", *options, str(tests)]
    done = subprocess.run(
        command, env=environment | ({"CI": "true"} if ci else {}), capture_output=True, text=True, check=False
    )
    return done.stdout


def test_skips_fail_in_ci_with_all_data(tmp_path: Path) -> None:
    out = run(tmp_path, ci=True, shared=True)
    assert out.splitlines()[-1].startswith("1 failed, 1 passed, 1 xfailed, 2 errors")
    assert "no test is skipped with CI=true and shared/ present: received 'Skipped: a file is missing'" in out
    for reason in ("a tool is missing", "could not import 'a_package_that_does_not_exist'"):
        assert reason in out


@pytest.mark.parametrize(("ci", "shared"), [(True, False), (False, True)])
def test_skips_are_allowed_elsewhere(tmp_path: Path, ci: bool, shared: bool) -> None:
    out = run(tmp_path, ci=ci, shared=shared)
    assert out.splitlines()[-1].startswith("1 passed, 3 skipped, 1 xfailed")
