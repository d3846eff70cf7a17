"""One network in many words: pools, gates, sums and axes as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import vision_transformers
from read_modules import compare, read
from understudy.errors import InputError


class Pools(nn.Module):
    """All places pooled, in many words."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 2, 3, 2, 1), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = functional.adaptive_avg_pool2d(x, 1)
        means = [x.mean(-1).mean(-1), x.mean(3).mean(2), x.mean(2, keepdim=True).mean(3, keepdim=True).flatten(1)]
        means += [pooled[:, :, 0, 0], pooled.squeeze(), x.sum((2, 3)) / 16, x.sum((2, 3), keepdim=True)[..., 0, 0]]
        most = [functional.adaptive_max_pool2d(x, 1).flatten(1), x.amax(3).amax(2), x.max(3)[0].max(2).values]
        both = 0.5 * (pooled + functional.adaptive_max_pool2d(x, 1))
        return self.fc(torch.cat([*means, *most, both.reshape(-1, 2), x.flatten(2).max(-1)[0]], dim=1)).squeeze()


def test_pools_in_many_words() -> None:
    torch.manual_seed(0)
    kinds = [step.kind for step in compare(Pools()).steps]
    assert {"mean", "max"} <= set(kinds) <= {"normalize", "conv", "mean", "max", "add", "lookup", "norm", "concat", "linear"}


Size = tuple[int, int]


class Adaptive(nn.Sequential):
    """A map of some size, pooled to another one, as the classifiers of VGG and AlexNet have it."""

    def __init__(self, size: Size, made: Size, pool: type[nn.Module] = nn.AdaptiveAvgPool2d) -> None:
        last = nn.Linear(4 * made[0] * made[1], 10)
        super().__init__(nn.Conv2d(3, 4, (9 - size[0], 9 - size[1])), pool(made), nn.Dropout(), nn.Flatten(), last)


@pytest.mark.parametrize(
    ("size", "made", "kinds", "read_by_linear"),
    [
        ((7, 7), (2, 2), ["average_pool", "flatten"], 4 * 2 * 2),  # of four rows, three apart
        ((7, 8), (1, 2), ["average_pool", "flatten"], 4 * 1 * 2),
        ((1, 1), (6, 6), ["flatten"], 4 * 1 * 1),
        ((2, 3), (7, 7), ["flatten"], 4 * 2 * 3),
        ((3, 3), (3, 3), ["flatten"], 4 * 3 * 3),
    ],
)
def test_adaptive_pools_of_any_size(size: Size, made: Size, kinds: list[str], read_by_linear: int) -> None:
    torch.manual_seed(3)
    network = compare(Adaptive(size, made))
    assert [step.kind for step in network.steps] == ["normalize", "conv", *kinds, "linear"]
    assert network.layers[network.steps[-1].name].in_features == read_by_linear


def test_adaptive_pools_of_unequal_parts_are_refused() -> None:
    with pytest.raises(InputError, match=r"makes \(3, 3\) places of \(5, 5\); use parts of equal size"):
        read(Adaptive((5, 5), (3, 3)))


def test_a_pool_that_makes_larger_is_read_by_a_linear_layer_alone() -> None:
    convolved = nn.Sequential(*list(Adaptive((2, 2), (4, 4)))[:2], nn.Conv2d(4, 10, 4), nn.Flatten())
    with pytest.raises(InputError, match="which reads an image that a pool made larger; flatten it and let a linear layer"):
        read(convolved)
    assert "max_pool" in [step.kind for step in compare(Adaptive((7, 7), (3, 3), nn.AdaptiveMaxPool2d)).steps]


class Gates(nn.Module):
    """Gates for each channel, with axes for one place in many words."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 10)
        self.gates = nn.ModuleList(nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4), nn.Sigmoid()) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * self.gates[0](x.mean((2, 3)))[:, :, None, None]
        x = x * self.gates[1](x.mean((2, 3))).unsqueeze(-1).unsqueeze(-1)
        x = x * self.gates[2](x.mean((2, 3)).view(-1, 1, 4)).transpose(1, 2).unsqueeze(3)
        x = x * self.gates[3](x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.fc(x.mean((2, 3)))


def test_gates_in_many_words() -> None:
    torch.manual_seed(1)
    assert [step.kind for step in compare(Gates()).steps].count("multiply") == 4


class Sums(nn.Module):
    """Differences, sums of shares, slopes for each channel and a kernel with holes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.beside, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.Linear(4, 10)
        self.slopes = nn.PReLU(4)
        self.slopes.weight.data = torch.tensor([0.1, -0.2, 0.3, 1.5])

    def forward(self, x: Tensor) -> Tensor:
        x = self.slopes(self.stem(x))
        x = torch.add(x - self.beside(x), self.beside(x), alpha=0.5)
        x = torch.sub(x, self.beside(x), alpha=2) + torch.add(torch.full((4, 1, 1), 0.2), x, alpha=3)
        return self.fc((x - torch.tanh(x)).mean((2, 3)))


def test_sums_in_many_words() -> None:
    torch.manual_seed(2)
    network = compare(Sums())
    assert max(layer.weight.shape[-1] for layer in network.layers.values() if isinstance(layer, nn.Conv2d)) == 5


class LayerNorm2d(nn.LayerNorm):
    """The layer norm of torchvision's ConvNeXt, which it puts behind the last pool too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_layer_norm_behind_the_last_pool() -> None:
    pool = nn.AdaptiveAvgPool2d(1)
    module = nn.Sequential(nn.Conv2d(3, 6, 2, 2), LayerNorm2d(6), pool, LayerNorm2d(6), nn.Flatten(), nn.Linear(6, 10))
    network = compare(vision_transformers.random(module))
    assert [step.kind for step in network.steps].count("standardize") == 2


class Written(nn.Module):
    """A step that is written out, and a convolution behind it."""

    def __init__(self, step: Callable[[Tensor], Tensor], channels: int) -> None:
        super().__init__()
        self.step, self.conv, self.fc = step, nn.Conv2d(channels, 4, 3), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(self.step(x)).mean((2, 3)))


@pytest.mark.parametrize("step", [lambda x: x.repeat(1, 3, 1, 1), lambda x: x.expand(-1, 3, -1, -1)])
def test_a_grey_image_as_three_channels(step: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(3)
    compare(Written(step, 3), channels=1)


@pytest.mark.parametrize("last", [[nn.Conv2d(4, 10, 4)], [nn.Conv2d(4, 6, 4), nn.ReLU(), nn.Conv2d(6, 10, 1)]])
def test_a_convolution_over_all_places_may_end_a_network(last: list[nn.Module]) -> None:
    torch.manual_seed(6)
    network = compare(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), *last, nn.Flatten()))
    assert [step.kind for step in network.steps][-2:] == ["flatten", "linear"]


class SinglePlaces(nn.Module):
    """A convolution that leaves one place, whose axes are taken away one by one; activations in rarer words."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.whole = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 10, 3)
        self.bends = nn.Sequential(nn.RReLU(), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.Threshold(0.0, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        x = self.whole(self.bends(self.stem(x)).clip(max=2.0))
        return x.squeeze(-1).squeeze(-1).clip(-1, 1)


def test_a_single_place_loses_its_axes_one_by_one() -> None:
    torch.manual_seed(0)
    assert [step.kind for step in compare(SinglePlaces()).steps].count("flatten") == 1


def test_a_threshold_that_is_no_relu_is_refused() -> None:
    with pytest.raises(InputError, match=r"op='threshold' .*puts another number than 0 in place of small ones; use a relu"):
        read(nn.Sequential(nn.Conv2d(3, 10, 8), nn.Threshold(0.1, 0.0), nn.Flatten()))
