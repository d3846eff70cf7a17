"""Programs for the C tests: the benchmark's random ones, and one with unusual shapes."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from programs import crooked_program, sequence_program
from understudy.program.ops import Linear, Node, Program, Window

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

__all__ = ["code_size", "context_program", "crooked_program", "random_program"]


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


def context_program(*, window: int, outputs: int, bits: int, bias: bool = False) -> Program:
    """Words whose rows one layer reads, in windows or one by one."""
    rng = np.random.default_rng(window)
    program = sequence_program(bits=bits)
    nodes: list[Node] = []
    for node in program.nodes:
        if isinstance(node, Window):
            nodes += [replace(node, width=window)] if window > 1 else []
        elif isinstance(node, Linear) and node.output in ("context", "logits"):
            shape = (outputs, 12 * window) if node.output == "context" else (7, 2 * outputs)
            weight = rng.integers(-7, 8, shape).astype(np.int8)
            own_bias = rng.integers(-500, 500, outputs).astype(np.int32) if bias else None
            layer = replace(node, weight=weight, weight_scale=rng.uniform(0.005, 0.02, len(weight)).astype(np.float32))
            behind = {"input": "windows" if window > 1 else "tokens", "bias": own_bias}
            nodes.append(replace(layer, **behind) if node.output == "context" else layer)
        else:
            nodes.append(node)
    scheme = {name: value for name, value in program.quantization.items() if window > 1 or name != "windows"}
    return Program(tuple(nodes), scheme)
