"""The torch layer equals the NumPy reference, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.projections.dense import DenseProjection, project
from understudy.projections.dense_torch import DenseProjectionLayer

REPOSITORY = Path(__file__).resolve().parents[2]

VECTORS = json.loads((REPOSITORY / "spec" / "vectors" / "dense.json").read_text(encoding="ascii"))


@pytest.mark.parametrize("number", range(len(VECTORS["projections"])))
def test_golden_vectors(number: int) -> None:
    case = VECTORS["projections"][number]
    for x, bits in zip(VECTORS["inputs"], case["bits"], strict=True):
        layer = DenseProjectionLayer(DenseProjection(inputs=len(x), **case["settings"]))
        found = layer(torch.tensor([x], dtype=torch.int32))[0]
        assert "".join(str(int(bit)) for bit in found) == bits


def test_floats(rng: np.random.Generator) -> None:
    projection = DenseProjection(inputs=196, functions=8, bits=10, vectors="ternary", seed=4)
    x = rng.normal(size=(500, 196)).astype(np.float32)
    assert np.array_equal(DenseProjectionLayer(projection)(torch.from_numpy(x)).numpy(), project(projection, x))


def test_nothing_is_learned_or_saved() -> None:
    layer = DenseProjectionLayer(DenseProjection(inputs=9, functions=2, bits=3))
    assert not layer.state_dict()
    assert not list(layer.parameters())
