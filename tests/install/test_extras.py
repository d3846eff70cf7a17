"""What ``understudy doctor`` knows about packages is what ``pyproject.toml`` says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from understudy.environment import EXTRAS, REQUIRED

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {Requirement(line).name for line in requirements}


def test_required_packages(project: dict[str, Any]) -> None:
    assert set(REQUIRED) == names(project["dependencies"])


def test_extras(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    assert {extra: set(packages) for extra, packages in EXTRAS.items()} == {
        extra: names(lines) for extra, lines in extras.items() if extra not in ("all", "dev")
    }
    # TensorFlow is a gigabyte, and needed by one kind of teacher only
    assert Requirement(extras["all"][0]).extras == set(EXTRAS) - {"tensorflow"}


def test_constraints_lie_within_the_ranges(project: dict[str, Any]) -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = {name.lower(): version for name, _, version in (line.partition("==") for line in lines if not line.startswith("#"))}
    wanted = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    for requirement in map(Requirement, wanted):
        if requirement.name != "understudy":
            assert exact[requirement.name.lower()] in requirement.specifier, requirement
    assert not [version for version in exact.values() if "+" in version]
