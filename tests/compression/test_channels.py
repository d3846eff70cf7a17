"""A pruned network is the network with channels masked, whatever joins, gates or flattens them, beside the pixels too."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from networks import CONVOLUTIONAL, Perceptron, made
from understudy.compression.cutting import need_masked
from understudy.compression.prune import prune, pruned, widths_of
from understudy.errors import VerificationError
from understudy.network.reading import Taken, read_network
from understudy.network.steps import PIXELS, Network, Step
from understudy.teachers.image_input import UNIT

CLASSES = 4


def read(module: nn.Module, channels: int = 1) -> Network:
    taken = Taken("NCHW", UNIT, tuple(range(CLASSES)))
    return read_network(module.train(False), taken, shape=(8, 8, channels), name=type(module).__name__)


def masked(whole: Network, left: Network) -> Network:
    """Return ``whole`` with zeros for the weights that read a channel which ``left`` has not: found by their values alone."""
    found = deepcopy(whole)
    for name, layer in whole.layers.items():
        if not isinstance(layer, nn.Linear) and not (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            continue
        before, after = (each.detach().reshape(*each.shape[:2], -1)[..., 0] for each in _weights(layer, left.layers[name]))
        places = [(before == number).nonzero() for number in after[0]]
        assert all(len(each) == 1 for each in places), name
        columns = [int(each[0, 1]) for each in places]
        assert columns == sorted(set(columns)), name
        gone = sorted(set(range(before.shape[1])) - set(columns))
        with torch.no_grad():
            _weights(found.layers[name])[0][:, gone] = 0
    return found


def _weights(*layers: Any) -> list[Tensor]:
    return [layer.weight for layer in layers]


class Net(nn.Module):
    """Modules by name, and what is done with them."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.does = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    norm = nn.BatchNorm2d(outputs)
    with torch.no_grad():
        norm.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]
        norm.bias.uniform_(-0.3, 0.3)
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), norm, nn.ReLU())


def depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def beside_pixels(net: Any, x: Tensor) -> Tensor:
    x = x.flatten(1)
    return net.out(torch.cat([x, functional.relu(net.hidden(x))], 1))


def map_beside_pixels(net: Any, x: Tensor) -> Tensor:
    return net.out(pooled(net.b(torch.cat([x, net.a(x)], 1))))


def two_scales(net: Any, x: Tensor) -> Tensor:
    a = net.a(x)
    return net.out(torch.cat([pooled(a), pooled(net.b(a))], 1))


def joined(net: Any, x: Tensor) -> Tensor:
    return torch.cat([net.a(x), net.b(x)], 1)


def flat_join(net: Any, x: Tensor) -> Tensor:
    return net.out(joined(net, x).flatten(1))


def pooled_flat_join(net: Any, x: Tensor) -> Tensor:
    return net.out(functional.max_pool2d(joined(net, x), 2).flatten(1))


def flat_dense(net: Any, x: Tensor) -> Tensor:
    a = net.a(x)
    return net.out(torch.cat([a, net.b(a)], 1).flatten(1))


def gated_join(net: Any, x: Tensor) -> Tensor:
    y = joined(net, x)
    return net.out(pooled(y * torch.sigmoid(net.up(functional.relu(net.down(functional.adaptive_avg_pool2d(y, 1)))))))


def over_join(net: Any, x: Tensor) -> Tensor:
    return net.out(pooled(net.over(joined(net, x))))


def sum_of_joins(net: Any, x: Tensor) -> Tensor:
    """Of parts whose bounds differ."""
    return net.out(pooled(functional.relu(joined(net, x) + torch.cat([net.c(x), net.d(x)], 1))))


def both_signs(net: Any, x: Tensor) -> Tensor:
    a = net.a(x)
    return net.out(pooled(net.b(torch.cat([functional.relu(a), functional.relu(-a)], 1))))


def padded_shortcut(net: Any, x: Tensor) -> Tensor:
    x = net.a(x)
    y = functional.avg_pool2d(x, 2)
    return net.out(pooled(functional.relu(net.b(x) + torch.cat([y, y * 0], 1))))


def gated_pixels(net: Any, x: Tensor) -> Tensor:
    x = x.flatten(1)
    return net.out(functional.relu(net.hidden(x * torch.sigmoid(net.gate(x)))))


def on_pixels(net: Any, x: Tensor) -> Tensor:
    return net.out(pooled(net.a(net.first(x))))


def normed_join(net: Any, x: Tensor) -> Tensor:
    first = net.first(x.flatten(1))
    return net.out(functional.relu(net.norm(torch.cat([first, net.second(functional.relu(first))], 1))))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "beside_pixels": lambda: Net(beside_pixels, hidden=nn.Linear(64, 16), out=nn.Linear(80, CLASSES)),
    "map_beside_pixels": lambda: Net(map_beside_pixels, a=conv(1, 8), b=conv(9, 8), out=nn.Linear(8, CLASSES)),
    "two_scales": lambda: Net(two_scales, a=conv(1, 8), b=conv(8, 16, stride=2), out=nn.Linear(24, CLASSES)),
    "flat_join": lambda: Net(flat_join, a=conv(1, 6, 1), b=conv(1, 10), out=nn.Linear(1024, CLASSES)),
    "pooled_flat_join": lambda: Net(pooled_flat_join, a=conv(1, 6, 1), b=conv(1, 6), out=nn.Linear(192, CLASSES)),
    "flat_dense": lambda: Net(flat_dense, a=conv(1, 8, stride=4), b=conv(8, 4), out=nn.Linear(48, CLASSES)),
    "gated_join": lambda: Net(
        gated_join, a=conv(1, 6, 1), b=conv(1, 10), down=nn.Conv2d(16, 4, 1), up=nn.Conv2d(4, 16, 1), out=nn.Linear(16, CLASSES)
    ),
    "over_join": lambda: Net(over_join, a=conv(1, 6, 1), b=conv(1, 10), over=depthwise(16), out=nn.Linear(16, CLASSES)),
    "sum_of_joins": lambda: Net(
        sum_of_joins, a=conv(1, 6, 1), b=conv(1, 10), c=conv(1, 10), d=conv(1, 6), out=nn.Linear(16, CLASSES)
    ),
    "both_signs": lambda: Net(both_signs, a=nn.Conv2d(1, 8, 3), b=conv(16, 8), out=nn.Linear(8, CLASSES)),
    "padded_shortcut": lambda: Net(padded_shortcut, a=conv(1, 8), b=conv(8, 16, stride=2), out=nn.Linear(16, CLASSES)),
    "gated_pixels": lambda: Net(gated_pixels, gate=nn.Linear(64, 64), hidden=nn.Linear(64, 16), out=nn.Linear(16, CLASSES)),
    "normed_join": lambda: Net(
        normed_join, first=nn.Linear(64, 16), second=nn.Linear(16, 16), norm=nn.BatchNorm1d(32), out=nn.Linear(32, CLASSES)
    ),
    **{kind.__name__: lambda kind=kind: made(kind, 1, classes=CLASSES) for kind in CONVOLUTIONAL},
    "Perceptron": lambda: made(Perceptron, 64, classes=CLASSES),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_network_is_the_masked_network(name: str) -> None:
    torch.manual_seed(0)
    network = read(NETWORKS[name]())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))  # no two alike, also where layers hand channels on
    images, before = torch.rand(4, 1, 8, 8), widths_of(network)
    for kept in (0.8, 0.5, 0.05):
        in_rounds = deepcopy(network)
        for share in (kept**0.5, kept):
            prune(in_rounds, share, widths=before)
        found = pruned(network, kept)
        assert widths_of(in_rounds) == widths_of(found)
        assert min(widths_of(found).values()) > 0
        for each in (found, in_rounds):
            torch.testing.assert_close(each(images), masked(network, each)(images))
    assert found.weight_count < network.weight_count


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("gated_join", [3, 5, 2, 8]),
        ("over_join", [3, 5, 8]),
        ("sum_of_joins", [3, 5, 5, 3]),
        ("padded_shortcut", [4, 4, 8]),
        ("gated_pixels", [64, 8]),
    ],
)
def test_every_part_keeps_its_own_share(name: str, widths: list[int]) -> None:
    found = widths_of(pruned(read(NETWORKS[name]()), 0.5))
    assert sorted(found.values()) == sorted([*widths, CLASSES])


def test_a_depthwise_layer_on_the_pixels_keeps_their_channels() -> None:
    torch.manual_seed(0)
    network = read(Net(on_pixels, first=depthwise(3), a=conv(3, 8), out=nn.Linear(8, CLASSES)), channels=3)
    found = pruned(network, 0.5)
    images = torch.rand(4, 3, 8, 8)
    assert list(widths_of(found).values()) == [3, 4, CLASSES]
    torch.testing.assert_close(found(images), masked(network, found)(images))


@pytest.mark.parametrize(
    "module",
    [
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)),
        lambda: Net(
            lambda net, x: net.out(x.flatten(1) * torch.sigmoid(net.gate(x.flatten(1)))),
            gate=nn.Linear(64, 64),
            out=nn.Linear(64, CLASSES),
        ),
    ],
)
def test_a_network_whose_channels_are_all_tied_stays_as_it_is(module: Callable[[], nn.Module]) -> None:
    network = read(module())
    found = pruned(network, 0.01)
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(found(images), network(images))


@pytest.mark.parametrize("seed", range(10))
def test_networks_of_random_steps(seed: int) -> None:
    network = _random(np.random.default_rng(seed))
    images, before = torch.rand(2, 2, 4, 4), widths_of(network)
    for kept in (0.6, 0.1):
        found = deepcopy(network)
        for share in (kept**0.5, kept):
            prune(found, share, widths=before)
        assert widths_of(found) == widths_of(pruned(network, kept))
        torch.testing.assert_close(found(images), masked(network, found)(images))


def _random(rng: np.random.Generator) -> Network:
    """Return steps that join, add, multiply and convolve maps of earlier ones, then flatten or pool some of them."""
    torch.manual_seed(int(rng.integers(1000)))
    steps: list[Step] = []
    layers: dict[str, nn.Module] = {}
    sizes = {PIXELS: 2}

    def step(kind: Any, *inputs: str, size: int, layer: nn.Module | None = None) -> str:
        name = f"s{len(steps)}"
        padding = (1, 1, 1, 1) if kind == "conv" else (0, 0, 0, 0)
        steps.append(Step(kind, name, inputs, "", padding=padding))
        layers.update({} if layer is None else {name: layer})
        sizes[name] = size
        return name

    def convolved(name: str, outputs: int) -> str:
        return step("conv", name, size=outputs, layer=nn.Conv2d(sizes[name], outputs, 3, padding=1))

    def vector(name: str) -> str:
        kind = str(rng.choice(["flatten", "mean"]))
        return step(kind, name, size=sizes[name] * (16 if kind == "flatten" else 1))

    maps = [PIXELS, convolved(PIXELS, 6)]
    for _ in range(8):
        first, second = (str(each) for each in rng.choice(maps, 2))
        kind = str(rng.choice(["conv", "depthwise", "concat", "add", "multiply", "relu"]))
        if kind in ("add", "multiply") and sizes[first] != sizes[second]:
            second = convolved(second, sizes[first])
        if kind == "conv":
            maps.append(convolved(first, int(rng.integers(2, 9))))
        elif kind == "depthwise":
            maps.append(step("conv", first, size=sizes[first], layer=depthwise(sizes[first])))
        elif kind == "relu":
            maps.append(step("relu", first, size=sizes[first]))
        else:
            size = sizes[first] + sizes[second] if kind == "concat" else sizes[first]
            maps.append(step(kind, first, second, size=size))
    one, other = vector(maps[-1]), vector(maps[-2])
    both = step("concat", one, other, size=sizes[one] + sizes[other])
    step("linear", both, size=CLASSES, layer=nn.Linear(sizes[both], CLASSES))
    return Network(steps, layers, shape=(4, 4, 2)).train(False)


def test_a_cut_that_took_other_channels_is_found() -> None:
    network = read(NETWORKS["two_scales"]())
    left = deepcopy(network)
    stays = {PIXELS: torch.ones(1, dtype=torch.bool)}
    stays |= {step.name: torch.ones(_channels(network, step.name), dtype=torch.bool) for step in network.steps}
    image = torch.rand(1, 1, 8, 8)
    need_masked(network, left, stays, image=image)
    reader: Any = left.layers[network.steps[-1].name]
    with torch.no_grad():
        reader.weight.copy_(reader.weight.roll(1, dims=1))
    with pytest.raises(
        VerificationError, match=r"received module='out' with a difference of .* in numbers up to .*; please report"
    ):
        need_masked(network, left, stays, image=image)
    reader.weight = nn.Parameter(reader.weight[:, 1:].detach())
    with pytest.raises(VerificationError, match=r"received module='out' with mat1 and mat2"):
        need_masked(network, left, stays, image=image)


def _channels(network: Network, name: str) -> int:
    steps = network.steps[: 1 + [step.name for step in network.steps].index(name)]
    return Network(steps, dict(network.layers), shape=network.shape).train(False)(torch.rand(1, 1, 8, 8)).shape[1]
