"""``import understudy`` and ``understudy --help`` load no large package; benchmarks/import_time.py has the seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LARGE = (
    "ai_edge_litert", "alembic", "jinja2", "joblib", "onnx", "onnxruntime", "optuna", "pandas", "pyarrow", "scipy", "sklearn",
    "sqlalchemy", "sympy", "torch",
)  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Return the large packages that are loaded in a fresh interpreter after ``statement``."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(set({LARGE!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import understudy",
        "import understudy; dir(understudy)",
        "import understudy.errors, understudy.units",
        "from understudy.cli.main import run; assert run(['--help']) == 0",
        "from understudy.cli.main import run; assert run(['compress', '--help']) == 0",
    ],
)
def test_nothing_large_is_loaded(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_the_package_is_marked_as_typed() -> None:
    from importlib.resources import files

    assert files("understudy").joinpath("py.typed").is_file()
