"""Channels that are taken apart: groups, chunks, splits and slices, as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from networks import CrossStageNet, ResNeXt, ShuffleNet, SmallImageResNet, made
from read_modules import compare, read
from understudy.errors import InputError


class Written(nn.Module):
    """A few layers, what ``write`` does with eight channels, and a linear layer over the ``width`` that is left."""

    def __init__(self, write: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.write, self.fc = write, nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.write(self.stem(x)).mean((2, 3)))


def gated(x: Tensor) -> Tensor:
    values, gate = x.chunk(2, dim=1)
    return values * torch.sigmoid(gate)


def partly_worked_on(x: Tensor) -> Tensor:
    """As cross-stage networks: one part goes by, another through a pool; a third is there in both."""
    first, second, third = torch.split(x, [3, 4, 1], dim=1)
    return torch.cat([functional.max_pool2d(second, 3, 1, 1), first, third, x[:, 2:7]], 1)


def cut_again(x: Tensor) -> Tensor:
    """Parts of parts, of what stands beside each other and of what was added."""
    y = torch.cat([x, functional.hardswish(x) * x.mean((2, 3), keepdim=True)], 1)
    y = y + torch.cat([y.narrow(1, 8, 8), y[:, :8]], dim=1)
    return torch.cat([y[:, 3:12].split(4, dim=1)[1], y[:, -3:], y[:, :1]], 1)


WRITTEN = {
    "gated": (gated, 4, 8),
    "partly": (partly_worked_on, 13, 8),
    "again": (cut_again, 8, 6),
    "unequal": (lambda x: torch.cat(x.chunk(3, 1)[::-1], 1), 8, 8),
    "whole": (lambda x: x[:, 0:8], 8, 8),
    "shuffled": (lambda x: functional.channel_shuffle(x, 4)[:, :5], 5, 8),
}
"""What is written, the channels that it gives, and how many of the eight it needs."""


@pytest.mark.parametrize("name", WRITTEN)
def test_channels_that_are_taken_apart(name: str) -> None:
    torch.manual_seed(4)
    write, width, needed = WRITTEN[name]
    network = compare(Written(write, width))
    stems = [each for each in network.layers.values() if isinstance(each, nn.Conv2d) and each.in_channels == 3]
    assert sum(each.out_channels for each in stems) == needed  # none is computed twice, or for nobody


def test_groups_are_layers_of_their_own() -> None:
    module = made(ResNeXt, 3, 8)
    network = compare(module)
    grouped = [each for each in network.layers.values() if isinstance(each, nn.Conv2d) and each.kernel_size == (3, 3)]
    assert [each.in_channels for each in grouped].count(2) == 2 * 4
    convolutions = [each for each in module.modules() if isinstance(each, nn.Conv2d)]
    found = [each for each in network.layers.values() if isinstance(each, nn.Conv2d)]
    assert sum(each.weight.numel() for each in found) == sum(each.weight.numel() for each in convolutions)


def test_a_shortcut_of_every_second_place_and_of_channels_of_zeros() -> None:
    network = compare(made(SmallImageResNet, 3, 8))
    [pool] = [step for step in network.steps if step.kind == "max_pool"]
    assert (pool.kernel, pool.stride) == ((1, 1), 2)


@pytest.mark.parametrize(
    "shuffle",
    [
        lambda x: x.view(-1, 2, 4, 4, 4).transpose(1, 2).reshape(-1, 8, 4, 4),
        lambda x: x.reshape(-1, 4, 2, 4, 4).permute(0, 2, 1, 3, 4).flatten(1, 2),
        nn.ChannelShuffle(4),
        lambda x: x.view(-1, 2, 4, 4, 4).view(-1, 8, 4, 4),
    ],
)
def test_channels_that_are_shuffled(shuffle: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(6)
    kinds = [step.kind for step in compare(Written(shuffle)).steps]
    assert kinds.count("conv") <= 2


def test_blocks_that_are_shuffled() -> None:
    kinds = [step.kind for step in compare(made(ShuffleNet)).steps]
    assert kinds.count("concat") == 2


def test_stages_of_which_a_part_goes_by() -> None:
    kinds = [step.kind for step in compare(made(CrossStageNet)).steps]
    assert kinds.count("concat") == 1
    assert kinds.count("conv") == 2 + 2 + 2


@pytest.mark.parametrize(
    ("module", "place", "why"),
    [
        (
            Written(lambda x: x[:, ::2], 4),
            "op='slice'",
            "reads channels that are 2 apart; read some that stand beside each other",
        ),
        (
            Written(lambda x: x[:, :, :2]),
            "op='slice'",
            "reads a part of an image; read all places, or every second row and column",
        ),
        (Written(lambda x: x[:, :, 1::2, 1::2]), "op='slice'", "reads a part of an image"),
        (Written(lambda x: x[:, :, ::2]), "op='mean'", "reads one row or column in 2 alone"),
        (Written(lambda x: functional.relu(x[:, :, ::2])), "op='relu'", "reads one row or column in 2 alone"),
        (
            Written(lambda x: x[:, :, ::2, ::3]),
            "op='slice'",
            "reads one place in 2 along one axis and one in 3 along the other",
        ),
        (Written(lambda x: x.view(-1, 2, 4, 4, 4).mean(1), 4), "op='mean'", "is taken over axes [1]"),
        (Written(lambda x: x.view(-1, 2, 4, 4, 4).transpose(2, 3).flatten(1, 2), 8), "op='mean'", "is taken over axes [2, 3]"),
        (Written(lambda x: x.flatten(1)[:, :8, None, None]), "op='slice'", "takes a part of the channels of 'flatten'"),
    ],
)
def test_parts_that_no_layer_gives_are_refused(module: nn.Module, place: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read(module)
    assert place in str(caught.value)
    assert why in str(caught.value)


def test_a_part_of_the_pixels_is_refused_by_name() -> None:
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x[:, :1].flatten(1))

    with pytest.raises(InputError, match="takes a part of the channels of 'normalize'"):
        read(Grey())
