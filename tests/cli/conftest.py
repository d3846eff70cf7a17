"""Bundles that the command is run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundles import make_bundle


@pytest.fixture(scope="session")
def written_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle in all formats; not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "16KB"
    make_bundle(folder)
    return folder


@pytest.fixture
def bundle(written_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(written_bundle, tmp_path / "runs" / "16KB"))
