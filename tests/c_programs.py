"""Programs for the C tests beyond ``tests.programs``: the benchmark's random ones, and one with unusual shapes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from understudy.program.ops import Concat, Linear, MaxPool, Program, ProjectText, Quantization, Softmax, SumPool, Window
from understudy.projections.text import FeatureGroup, TextProjection


def _benchmark(name: str) -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


code_size = _benchmark("c_code_size")
fuzz_c = _benchmark("fuzz_c")
random_program = code_size.random_program


def crooked_program(*, bits: int) -> Program:
    """Odd widths, an even window, zero points that belong to no relu, a window of a window, a part concatenated twice."""
    rng = np.random.default_rng(bits)
    limit = 7 if bits == 4 else 127
    projection = TextProjection(
        (FeatureGroup("word", 19), FeatureGroup("character", 34)), max_bytes=50, max_words=9, orders=(1, 3, 8), seed=0xFFFFFFFF
    )

    def linear(source: str, target: str, outputs: int, size: int) -> Linear:
        weight = rng.integers(-limit, limit + 1, (outputs, size)).astype(np.int8)
        bias = rng.integers(-90, 90, outputs).astype(np.int32)
        return Linear(source, target, weight, bias, False, bits, False, np.array([0.2 / limit], np.float32))

    nodes = (
        ProjectText("bytes", "features", projection),
        linear("features", "left", 5, 53),
        linear("features", "right", 1, 53),
        Window("left", "pairs", 2),
        Window("pairs", "fours", 4),
        linear("fours", "mixed", 5, 40),
        Window("right", "wide", 3),
        MaxPool("wide", "top"),
        SumPool("mixed", "sum", 0.3),
        Concat(("sum", "top", "sum"), "all"),
        linear("all", "logits", 9, 13),  # odd, and what stands behind it in memory is not 0
        Softmax("logits", "probabilities"),
    )
    narrow, broad = Quantization(float(np.float32(0.21)), 17), Quantization(float(np.float32(0.4)), -5)
    scheme = dict.fromkeys(("left", "pairs", "fours"), narrow)
    scheme |= dict.fromkeys(("right", "wide", "mixed", "top", "sum", "all", "logits"), broad)
    scheme["logits"] = Quantization(float(np.float32(0.02)), -5)
    return Program(nodes, {"features": Quantization(1.0, 0)} | scheme)
