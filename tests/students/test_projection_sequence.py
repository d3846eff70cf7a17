"""Word order matters to it, absent tokens do not."""

from __future__ import annotations

import numpy as np
import torch

from understudy.program.executor import Executor
from understudy.program.ops import Window
from understudy.projections.text import encode, project
from understudy.students.projection_sequence import build
from understudy.students.recipe import Recipe

RECIPE = Recipe(features=64, width=12, hidden=20, max_bytes=64, max_words=16)


def _logits(texts: list[str]) -> torch.Tensor:
    program = build(RECIPE, classes=6, seed=1)
    features = project(program.projection, encode(texts, max_bytes=64)).astype(np.float32)
    with torch.no_grad():
        return Executor(program).eval()(torch.from_numpy(features))


def test_shapes_and_weights() -> None:
    program = build(RECIPE, classes=6, seed=1)
    shapes = program.shapes()
    assert shapes["features"] == (16, 64)
    assert shapes["windows"] == (16, 36)
    assert shapes["pooled"] == (40,)
    assert program.classes == 6
    assert program.weight_count == 64 * 12 + 36 * 20 + 40 * 6 + 6


def test_layers_over_tokens_have_no_bias() -> None:
    program = build(RECIPE, classes=6, seed=1)
    assert [node.bias is None for node in program.linears] == [True, True, False]
    assert [node.width for node in program.nodes if isinstance(node, Window)] == [3]
    # nothing but the last layer's bias is left for an empty text
    assert torch.equal(_logits([""]), torch.zeros(1, 6))


def test_word_order_matters() -> None:
    one, two = _logits(["flights from boston to denver", "flights to boston from denver"])
    assert not torch.allclose(one, two, atol=1e-3)
