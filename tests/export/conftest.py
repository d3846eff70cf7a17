"""C models in these tests are compiled for one unit of vectors."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def one_vector_unit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile in half the time; test_c_vectors.py takes every unit, and what the processor chooses, as whole jobs do."""
    if request.path.name != "test_c_vectors.py":
        monkeypatch.setenv("CC", f"{os.environ.get('CC') or 'cc'} -DUS_WIDEST=16")
