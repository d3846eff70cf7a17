"""Pruning changes shapes, keeps classes, and leaves as many channels as the share says, however it is reached."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from networks import CONVOLUTIONAL, LeNet, made
from understudy.compression.prune import prune, pruned, widths_of
from understudy.errors import SetupError
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network, dumps, loads
from understudy.teachers.image_input import UNIT, Shape
from vision_transformers import ChunkedAttention, ConvNext, EncoderTransformer, VisionTransformer, random

SHAPE = (16, 16, 3)
KINDS = (*CONVOLUTIONAL, LeNet)


def network_of(kind: type[nn.Module]) -> Network:
    return read_network(made(kind), Taken("NCHW", UNIT, tuple(range(10))), shape=SHAPE, name=kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_the_share_decides_how_many_channels_stay(kind: type[nn.Module]) -> None:
    network = network_of(kind)
    before = widths_of(network)
    images = torch.rand(3, 3, 16, 16)
    weights = network.weight_count
    for kept in (0.75, 0.5, 0.01):
        found = pruned(network, kept)
        assert found(images).shape == (3, 10)
        assert found.weight_count < weights
        weights = found.weight_count
        after = widths_of(found)
        *_, last = before
        assert {name: max(1, round(kept * count)) for name, count in before.items()} | {last: 10} == after
        in_rounds = loads(dumps(network))
        for share in (0.9, kept**0.5, kept):
            prune(in_rounds, max(share, kept), widths=before)
        assert widths_of(in_rounds) == after
        assert torch.equal(loads(dumps(found)).train(False)(images), found(images))
    assert widths_of(network) == before


@pytest.mark.parametrize(
    ("make", "shape", "heads"),
    [
        (lambda: VisionTransformer(heads=4), (8, 8, 1), 4),
        (lambda: VisionTransformer(attention=ChunkedAttention, class_token=False, scaled=True), (8, 8, 1), 2),
        (EncoderTransformer, (16, 16, 3), 3),
        (ConvNext, (8, 8, 3), 1),
    ],
)
def test_heads_of_a_transformer_keep_one_width(make: Callable[[], nn.Module], shape: Shape, heads: int) -> None:
    torch.manual_seed(0)
    network = read_network(random(make()), Taken("NCHW", UNIT, tuple(range(10))), shape=shape, name="theirs")
    before, images = widths_of(network), torch.rand(3, shape[2], *shape[:2])
    attended = {name for step in network.steps if step.kind == "attention" for name in step.inputs}
    weights = network.weight_count
    for kept in (0.75, 0.5, 0.01):
        found = pruned(network, kept)
        assert found(images).shape == (3, 10)
        assert found.weight_count < weights
        weights = found.weight_count
        *_, last = before
        wanted = {
            name: max(1, round(kept * count / heads)) * heads if name in attended else max(1, round(kept * count))
            for name, count in before.items()
        }
        assert wanted | {last: 10} == widths_of(found)
        in_rounds = loads(dumps(network))
        for share in (0.9, kept**0.5, kept):
            prune(in_rounds, max(share, kept), widths=before)
        assert widths_of(in_rounds) == widths_of(found)
        assert torch.equal(loads(dumps(found)).train(False)(images), found(images))


def test_the_weakest_channel_of_all_heads_goes() -> None:
    torch.manual_seed(0)
    theirs = random(VisionTransformer(depth=1, width=8))
    network = read_network(theirs, Taken("NCHW", UNIT, tuple(range(10))), shape=(8, 8, 1), name="theirs")
    [attention] = [step for step in network.steps if step.kind == "attention"]
    layers: list[Any] = [network.layers[name] for name in attention.inputs]
    reader = next(network.layers[step.name] for step in network.readers(attention.name))
    with torch.no_grad():
        for layer in layers:
            layer.weight[[2, 6]] *= 1e-3  # the third channel of both heads
        reader.weight[:, [2, 6]] *= 1e-3  # type: ignore[index]
    wanted = [layer.weight[[0, 1, 3, 4, 5, 7]].clone() for layer in layers]
    found = pruned(network, 0.75)
    for name, rows in zip(attention.inputs, wanted, strict=True):
        kept: Any = found.layers[name]
        columns = [column for column in range(8) if any(torch.equal(kept.weight[:, i], rows[:, column]) for i in range(6))]
        assert len(columns) == 6


def test_the_weakest_channels_go() -> None:
    network = network_of(LeNet)
    first = next(layer for layer in network.layers.values() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight[[1, 4]] *= 1e-3
    strong = first.weight[[0, 2, 3, 5]].clone()
    kept = next(layer for layer in pruned(network, 4 / 6).layers.values() if isinstance(layer, nn.Conv2d))
    assert torch.equal(kept.weight, strong)


def test_without_torch_pruning_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(
        SetupError, match=r"'pruned' needs the 'prune' extra: received .*; run: pip install 'understudy\[prune\]'"
    ):
        pruned(network_of(LeNet), 0.5)
