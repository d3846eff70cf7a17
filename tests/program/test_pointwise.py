"""Lookups and products: the interpreter against ``spec/program.md``, and tables against their functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from image_programs import gated_program, pictures
from understudy.program import archive
from understudy.program.cost import macs, training_work
from understudy.program.curves import FUNCTIONS, apply, composed, table_of
from understudy.program.groups import signed_tensors
from understudy.program.interpreter import tensors
from understudy.program.ops import Program, Quantization
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.real_curves import falls_below_zero


def _rounded(total: int, scale: np.float32, target: Quantization) -> int:
    return max(-128, min(127, int(np.rint(np.float32(total) * scale)) + target.zero_point))


def test_lookups_and_products_follow_the_specification() -> None:
    program = gated_program(shape=(9, 8, 2), channels=5)
    values, scheme = tensors(program, pictures(program, 6)), program.quantization
    for node in program.nodes:
        if isinstance(node, Lookup):
            assert node.table is not None
            places = zip(values[node.input].ravel().tolist(), values[node.output].ravel().tolist(), strict=True)
            assert all(node.table[value + 128] == found for value, found in places)
        if isinstance(node, Multiply):
            first, second = (values[name] for name in node.inputs)
            zeros = [scheme[name].zero_point for name in node.inputs]
            product = np.float32(scheme[node.inputs[0]].scale) * np.float32(scheme[node.inputs[1]].scale)
            scale = np.float32(product / np.float32(scheme[node.output].scale))
            for place in np.ndindex(first.shape):
                factor = second[place] if first.ndim == second.ndim else second[place[0], place[-1]]
                total = (int(first[place]) - zeros[0]) * (int(factor) - zeros[1])
                assert values[node.output][place] == _rounded(total, scale, scheme[node.output])


@pytest.mark.parametrize(
    ("curve", "function"),
    [
        ("x hardswish", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("x x 3 add 0 6 clamp mul 6 div", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("x silu", lambda x: x / (1 + math.exp(-x))),
        ("x gelu", lambda x: x / 2 * (1 + math.erf(x / math.sqrt(2)))),
        ("x 0.1 leaky_relu", lambda x: x if x > 0 else 0.1 * x),
        ("x 0.5 celu", lambda x: x if x > 0 else 0.5 * math.expm1(x / 0.5)),
        ("x -1 sub tanh", lambda x: math.tanh(x + 1)),
    ],
)
def test_a_table_is_the_function_rounded_once(curve: str, function: Callable[[float], float]) -> None:
    source, target = Quantization(0.0473, 11), Quantization(0.0211, -96)
    exact = [function(0.0473 * (value - 11)) / 0.0211 - 96 for value in range(-128, 128)]
    wanted = [max(-128, min(127, round(value))) for value in exact]
    assert min(abs(value - math.floor(value) - 0.5) for value in exact if value != round(value)) > 1e-6  # no ties
    assert table_of(curve, source, target).tolist() == wanted


@pytest.mark.parametrize("word", FUNCTIONS)
def test_functions_have_gradients_and_compose(word: str) -> None:
    count, _ = FUNCTIONS[word]
    curve = " ".join(["x", *["0.5", "2"][: count - 1], word])
    x = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    y = apply(curve, x)
    [gradient] = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(gradient).all()
    assert torch.equal(apply(composed(curve, "x 2 mul"), x), apply(curve, x * 2))


@pytest.mark.parametrize(
    ("curve", "message"), [("x add", "gives 'add' 2 values"), ("x x", "leaves one value"), ("x wave", "could not convert")]
)
def test_a_curve_that_is_none_is_refused(curve: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply(curve, torch.zeros(1))


def test_what_falls_below_zero_is_signed() -> None:
    assert not falls_below_zero("x sigmoid", signed=True)
    assert falls_below_zero("x silu", signed=True)
    assert not falls_below_zero("x silu", signed=False)
    signed = signed_tensors(gated_program())
    assert {"stem", "swish", "spread", "excited", "mixed", "pooled", "bent"} <= signed
    assert not {"image", "narrow", "gate"} & signed
    assert "squared" in signed  # a product of what has a sign may have one


def test_archives_keep_tables() -> None:
    program = gated_program()
    again = archive.loads(archive.dumps(program))
    images = pictures(program, 8)
    assert all(np.array_equal(value, tensors(again, images)[name]) for name, value in tensors(program, images).items())


def test_shapes_that_do_not_fit_are_refused_and_layers_alone_multiply() -> None:
    program = gated_program()
    nodes = tuple(
        Multiply((node.inputs[1], node.inputs[0]), node.output) if isinstance(node, Multiply) else node
        for node in program.nodes
    )
    with pytest.raises(ValueError, match="excited: .* cannot be multiplied"):
        Program(nodes).shapes()
    shapes = program.shapes()
    assert macs(program) == sum(math.prod(shapes[n.output][:-1]) * n.weight.size for n in program.layers)
    assert training_work(program) > macs(program)
