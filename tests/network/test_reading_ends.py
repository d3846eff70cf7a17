"""How networks end: in a layer, or in something behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from read_modules import COLUMNS, compare, read
from understudy.errors import InputError
from understudy.network.reading import Taken, read_network
from understudy.teachers.image_input import UNIT


class Ending(nn.Module):
    """A map of ten channels, two heads over what is pooled of it, and what ``end`` makes of the three."""

    def __init__(self, end: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 3, 2, 1)
        self.first, self.second, self.norm = nn.Linear(10, 10), nn.Linear(10, 10), nn.BatchNorm1d(10)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        pooled = x.mean((2, 3))
        return self.end(self.norm(self.first(pooled)), self.second(pooled), x)


@pytest.mark.parametrize(
    "end",
    [
        lambda first, _, __: first,
        lambda first, second, _: (first + second) / 2,
        lambda _, second, __: torch.tanh(second) * 3,
        lambda _, __, x: x.amax((2, 3)),
        lambda first, second, _: torch.cat([first[:, :4], second[:, :6]], 1),
        lambda _, __, x: x.mean((2, 3)) * 2 - 1,
    ],
    ids=["norm", "two heads", "tanh", "largest", "joined", "scaled"],
)
def test_what_comes_behind_the_last_layer(end: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(3)
    assert compare(Ending(end)).steps[-1].kind == "linear"


def test_classes_in_another_order_behind_a_pool() -> None:
    torch.manual_seed(3)
    module = Ending(lambda _, __, x: x.mean((2, 3)))
    order = COLUMNS[::-1]
    network = read_network(module, Taken("NCHW", UNIT, order), shape=(8, 8, 3), name="theirs")
    images = torch.rand(4, 3, 8, 8)
    assert torch.allclose(network(images), module(images)[:, list(order)], atol=1e-5)


def test_sigmoids_of_the_classes_are_left_out_for_the_scores_before_them() -> None:
    torch.manual_seed(3)
    module = Ending(lambda _, second, __: torch.sigmoid(second))
    network, images = read(module), torch.rand(4, 3, 8, 8)
    assert torch.allclose(network(images).sigmoid(), module(images), atol=1e-5)
    assert {step.kind for step in network.steps} == {"normalize", "conv", "relu", "mean", "linear"}


class Deciding(nn.Module):
    """Goes another way where a map is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(1)
        if x.mean() > 0:
            x = 2 * x
        return x


def test_what_depends_on_values_is_named_by_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    line = inspect.getsourcelines(Deciding.forward)[1] + 2
    with pytest.raises(InputError, match=rf"teacher='theirs' \(test_reading_ends\.py, line {line}: Could not .*\); take out"):
        read(Deciding())
    assert capfd.readouterr() == ("", "")
