"""``pip install understudy`` pulls at most 25 packages besides torch and what torch needs."""

from __future__ import annotations

from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LIMIT = 25


def closure(name: str) -> set[str]:
    """Return ``name`` and everything that its installed metadata asks for here, without any extra."""
    found: set[str] = set()
    open_names = [name]
    while open_names:
        current = canonicalize_name(open_names.pop())
        if current in found:
            continue
        found.add(current)
        for line in requires(current) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                open_names.append(requirement.name)
    return found


def test_few_packages_are_pulled() -> None:
    pulled = closure("understudy") - closure("torch") - {"understudy"}
    assert {"numpy", "optuna", "scikit-learn", "typer"} <= pulled
    assert len(pulled) <= LIMIT, sorted(pulled)


def test_formats_are_extras() -> None:
    pulled = closure("understudy")
    assert not pulled & {"onnx", "onnxruntime", "ai-edge-litert", "pyarrow", "pytest", "ruff"}
