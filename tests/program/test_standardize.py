"""Numbers to int8: what the rule says, also for values that are no numbers, and the same in every place that computes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.export.c import CExporter
from understudy.program import archive
from understudy.program.cost import input_bytes
from understudy.program.interpreter import standardize, tensors
from understudy.program.ops import Program, Standardize
from understudy.testing.vector_programs import measurements, seen_program, window_program

NODE = Standardize("values", "standardized", (3,), np.array([10, 0, -5], np.float32), np.array([2, 1, 0], np.float32))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((10, 0, -5), (0, 0, 0)),
        ((10.5, -1, 7), (32, -32, 0)),
        ((10 + 0.5 / 64, 1.5 / 32, 0), (0, 2, 0)),  # ties to even
        ((10 + 1.5 / 64, -2.5 / 32, 0), (2, -2, 0)),
        ((np.nan, np.inf, np.nan), (0, 127, 0)),
        ((-np.inf, 3e38, np.inf), (-128, 127, 0)),
        ((-3e38, 1e-45, -np.inf), (-128, 0, 0)),
    ],
)
def test_the_rule(values: tuple[float, ...], expected: tuple[int, ...]) -> None:
    assert standardize(NODE, np.array([values], np.float32)).tolist() == [list(expected)]


def test_a_window_has_a_place_for_each_step() -> None:
    program = window_program(shape=(29, 3))
    values = measurements(program, 5)
    found = tensors(program, values)["standardized"]
    assert found.shape == (5, 29, 1, 3) == (5, *program.shapes()["standardized"])
    source = program.source
    assert isinstance(source, Standardize)
    steps = replace(source, shape=(3,))
    assert (found[:, 7, 0] == standardize(steps, values[:, 7])).all()


def test_programs_are_read_back() -> None:
    program = window_program()
    content = archive.dumps(program)
    again = archive.loads(content)
    assert archive.dumps(again) == content
    assert again.source.input_shape == (29, 3)
    assert input_bytes(program) == 4 * 29 * 3


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    """A program that shows 400 standardized numbers, and a folder with its C file."""
    rng = np.random.default_rng(0)
    offset = (rng.normal(0, 1, 400) * 10.0 ** rng.integers(-6, 7, 400)).astype(np.float32)
    multiplier = (10.0 ** rng.uniform(-6, 6, 400)).astype(np.float32)
    offset[::7], offset[::13], multiplier[::31] = 0, 2.0**9, 0
    program = seen_program(inputs=400)
    source = replace(program.nodes[0], offset=offset, multiplier=multiplier)  # type: ignore[call-arg, arg-type]
    program = replace(program, nodes=(source, *program.nodes[1:]))
    folder = tmp_path_factory.mktemp("c")
    for name, content in CExporter().export(program, name="tiny").items():
        (folder / name).write_bytes(content)
    return program, folder


# not -ffast-math itself: a library of it would change how this process treats tiny numbers
_FAST = "-march=native -fno-signed-zeros -fno-trapping-math -fassociative-math -freciprocal-math -ffinite-math-only"


@pytest.mark.parametrize("compiler", ["cc", f"cc -DUS_VECTOR=0 {_FAST} -fsanitize=undefined", "clang -O1"])
def test_c_gives_the_same_bits_for_any_float_whatever_the_compiler_may_do(
    compiler: str, in_c: tuple[Program, Path], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """Ordinary numbers, numbers between two steps, and random bits: huge, tiny, infinite, NaN."""
    program, folder = in_c
    monkeypatch.setenv("CC", compiler)
    values = measurements(program, 200)
    bits = rng.integers(0, 2**32, (200, 400), dtype=np.uint64).astype(np.uint32).view(np.float32)
    inputs = np.concatenate([values, bits])
    expected = tensors(program, inputs)["standardized"]
    assert len(np.unique(expected)) == 256
    assert (CExporter().open(folder, name="tiny").logits(inputs) == expected).all()


@given(st.floats(width=32), st.floats(-1e6, 1e6, width=32), st.floats(2.0**-20, 1e6, width=32))
@settings(max_examples=200, deadline=None)
def test_the_scale_may_be_divided_by_or_multiplied_with(value: float, offset: float, multiplier: float) -> None:
    """Kernels do either, C folds it into the multiplier; because it is a power of two all are the same."""
    node = replace(NODE, shape=(1,), offset=np.array([offset], np.float32), multiplier=np.array([multiplier], np.float32))
    expected = standardize(node, np.array([[value]], np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        steps = (np.float32(value) - node.offset) * (node.multiplier * np.float32(32))
    steps = np.where(np.isnan(steps), 0, np.clip(np.rint(steps), -128, 127))
    assert expected.tolist() == [steps.tolist()]
