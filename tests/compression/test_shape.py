"""The stand-in for a trained student is never smaller than one: budgets are kept because of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from understudy.compression.quantize.calibrate import calibrate
from understudy.compression.quantize.integer import to_integer
from understudy.compression.quantize.shape import quantized_shape
from understudy.export.registry import exporter
from understudy.program.executor import Executor
from understudy.program.ops import Conv, DepthwiseConv, Linear, Node, Program
from understudy.projections.log_mel import LogMel
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

LOG_MEL = LogMel(1664, 8000)
RECIPES = (
    Recipe(features=32, width=12, hidden=12),
    Recipe(student="projection_net", features=32, width=12, hidden=12),
    Recipe(student="sgnn", features=32, width=12, hidden=12, weight_bits=4),
    Recipe(student="separable_cnn", image_shape=(28, 28, 1), width=8, hidden=24, weight_bits=4),
    Recipe(student="separable_cnn", image_shape=LOG_MEL.shape, sound=(1664, 8000), width=8, hidden=24, weight_bits=4),
)


def calibrated(program: Program) -> Program:
    """Return ``program`` in integers, with the scales that random inputs give it."""
    shape = program.shapes()[program.source.output]
    generator = torch.Generator().manual_seed(1)
    rng = np.random.default_rng(1)

    def learned(node: Node) -> Node:
        # biases begin at 0, and files store equal ones once
        if not isinstance(node, Linear | Conv | DepthwiseConv) or node.bias is None:
            return node
        return replace(node, bias=rng.uniform(0.1, 0.2, len(node.bias)).astype(np.float32))

    program = Program(tuple(map(learned, program.nodes)))
    batch = torch.rand(64, *shape, generator=generator)
    with torch.no_grad():
        logits = Executor(program)(batch).numpy()
    return to_integer(program, calibrate(program, [batch]), logits=logits)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.student)
@pytest.mark.parametrize("format_name", ["onnx", "litert", "c", "python"])
def test_it_takes_the_bytes_of_a_trained_one(recipe: Recipe, format_name: str) -> None:
    program = build_student(recipe, classes=5, seed=3)
    trained = calibrated(program)
    assert len(np.unique([q.scale for q in trained.quantization.values()])) > 2
    writer = exporter(format_name)
    taken = sum(size for _, size in writer.byte_table(trained, name="a"))
    counted = sum(size for _, size in writer.byte_table(quantized_shape(program), name="a"))
    # a trained one may happen to have a number twice, which a file stores once; never may it be larger
    assert taken <= counted <= taken + 48
