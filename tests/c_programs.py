"""Programs for the C tests: the benchmark's random ones, and one with unusual shapes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from programs import crooked_program

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

__all__ = ["code_size", "crooked_program", "random_program"]


def _benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.append(str(BENCHMARKS))  # the scripts import their neighbours
code_size = _benchmark("c_code_size")
fuzz_c = _benchmark("fuzz_c")
random_program = code_size.random_program
