"""Small torch networks of the kinds that users bring, with random weights and batch norms that have seen something."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def _norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm with statistics of its own."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
        norm.weight.uniform_(0.5, 1.2)
        norm.bias.uniform_(-0.3, 0.3)
    return norm


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), _norm(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), _norm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False), _norm(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = ResidualBlock(width, width)
        self.layer2 = ResidualBlock(width, 2 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


def _layer(inputs: int, outputs: int, size: int = 1, **settings: int) -> nn.Sequential:
    """Return a convolution, a batch norm and relu."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False, **settings)
    return nn.Sequential(layer, _norm(outputs), nn.ReLU())


class ResNeXt(nn.Module):
    """Blocks of a narrow layer, a convolution in groups and a wide layer, beside their input (Xie et al. 2017)."""

    def __init__(self, channels: int = 3, width: int = 16, groups: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.stem = _layer(channels, width, 3, stride=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(width, width), _layer(width, width, 3, groups=groups), *_layer(width, width)[:2])
            for _ in range(2)
        )
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = functional.relu(x + block(x))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class CrossStageNet(nn.Module):
    """Of every stage a part of the channels goes by, as in CSPNet (Wang et al. 2020), and gates take halves apart."""

    def __init__(self, channels: int = 3, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem, self.first = _layer(channels, width, 3, stride=2), _layer(width // 2, width // 2, 3)
        self.second, self.wide = _layer(width // 2, width // 2, 3), _layer(width, 2 * width, 3, stride=2)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        by, x = self.stem(x).chunk(2, dim=1)
        parts = [by, self.first(x)]
        parts.append(self.second(parts[-1]))
        values, gates = self.wide(torch.cat([parts[0], parts[2]], dim=1)).split(self.fc.in_features, dim=1)
        return self.fc((values * torch.sigmoid(gates)).mean((2, 3)))


class SmallImageResNet(nn.Module):
    """Shortcuts without weights: every second place, and channels of zeros beside those there are (He et al. 2016, A)."""

    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.stem, self.wide = _layer(channels, width, 3), _layer(width, 2 * width, 3, stride=2)
        self.last, self.fc = _layer(2 * width, 2 * width, 3)[:2], nn.Linear(2 * width, classes)
        self.around = width // 2

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        by = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.around, self.around), "constant", 0)
        return self.fc(functional.relu(self.last(self.wide(x)) + by).mean((2, 3)))


class ShuffleNet(nn.Module):
    """Half of the channels goes by, and both halves are shuffled behind every block (Ma et al. 2018)."""

    def __init__(self, channels: int = 3, width: int = 12, classes: int = 10) -> None:
        super().__init__()
        self.stem, half = _layer(channels, width, 3, stride=2), width // 2
        self.blocks = nn.ModuleList(
            nn.Sequential(_layer(half, half), _layer(half, half, 3, groups=half)[:2], _layer(half, half)) for _ in range(2)
        )
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            by, through = x.chunk(2, dim=1)
            x = torch.cat([by, block(through)], dim=1)
            count, channels, *places = x.shape
            x = x.view(count, 2, channels // 2, *places).transpose(1, 2).contiguous().view(count, channels, *places)
        return self.fc(x.mean((2, 3)))


class PreactivationNet(nn.Module):
    """Batch norm and relu before each convolution (He et al. 2016b)."""

    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 1, 1)
        self.bn1, self.conv1 = _norm(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2, self.conv2 = _norm(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn3, self.fc = _norm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv1(functional.relu(self.bn1(x)))
        x = x + self.conv2(functional.relu(self.bn2(y)))
        return self.fc(functional.relu(self.bn3(x)).mean(dim=(2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.conv = nn.Sequential(
            nn.Sequential(nn.Conv2d(inputs, inner, 1, bias=False), _norm(inner), nn.ReLU6(inplace=True)),
            nn.Sequential(
                nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), _norm(inner), nn.ReLU6(inplace=True)
            ),
            nn.Conv2d(inner, outputs, 1, bias=False),
            _norm(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1, bias=False), _norm(width), nn.ReLU6()),
            InvertedResidual(width, width, stride=1, expand=2),
            InvertedResidual(width, 2 * width, stride=2, expand=3),
            InvertedResidual(2 * width, 2 * width, stride=1, expand=3),
            nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1, bias=False), _norm(4 * width), nn.ReLU6()),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * width, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class SqueezeExcitation(nn.Module):
    """A gate for each channel from the mean of all places (Hu et al. 2018)."""

    def __init__(self, channels: int, inner: int, *, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.activation, self.gate = activation, gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class MobileBlock(nn.Module):
    """What MobileNetV3 and EfficientNet are made of: a wide depthwise layer, gated, between narrow ones."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        expand: int,
        activation: nn.Module,
        squeeze: nn.Module | None,
    ) -> None:
        super().__init__()
        inner = inputs * expand
        spread = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.block = nn.Sequential(
            nn.Sequential(nn.Conv2d(inputs, inner, 1, bias=False), _norm(inner), activation),
            nn.Sequential(spread, _norm(inner), activation),
            *([] if squeeze is None else [squeeze]),
            nn.Sequential(nn.Conv2d(inner, outputs, 1, bias=False), _norm(outputs)),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        if self.residual:
            y += x
        return y


class MobileNetV3(nn.Module):
    """Howard et al. 2019: hardswish, gates of hardsigmoid, depthwise kernels of 5."""

    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()

        def gate(inner: int) -> nn.Module:
            return SqueezeExcitation(inner, inner // 4, activation=nn.ReLU(), gate=nn.Hardsigmoid())

        def block(inputs: int, outputs: int, kernel: int, stride: int, activation: nn.Module, *, gated: bool) -> nn.Module:
            squeeze = gate(3 * inputs) if gated else None
            sizes = {"kernel": kernel, "stride": stride, "expand": 3}
            return MobileBlock(inputs, outputs, **sizes, activation=activation, squeeze=squeeze)

        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1, bias=False), _norm(width), nn.Hardswish(inplace=True)),
            block(width, width, 3, 1, nn.ReLU(inplace=True), gated=True),
            block(width, 2 * width, 5, 2, nn.Hardswish(inplace=True), gated=True),
            block(2 * width, 2 * width, 5, 1, nn.Hardswish(inplace=True), gated=False),
            nn.Sequential(nn.Conv2d(2 * width, 6 * width, 1, bias=False), _norm(6 * width), nn.Hardswish(inplace=True)),
        )
        self.classifier = nn.Sequential(
            nn.Linear(6 * width, 4 * width), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(4 * width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(self.features(x), 1), 1))


class EfficientNet(nn.Module):
    """Tan & Le 2019: SiLU, gates of sigmoid."""

    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> nn.Module:
            inner = expand * inputs
            squeeze = SqueezeExcitation(inner, max(1, inputs // 4), activation=nn.SiLU(inplace=True), gate=nn.Sigmoid())
            sizes = {"kernel": kernel, "stride": stride, "expand": expand}
            return MobileBlock(inputs, outputs, **sizes, activation=nn.SiLU(inplace=True), squeeze=squeeze)

        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1, bias=False), _norm(width), nn.SiLU(inplace=True)),
            block(width, width, 3, 1, 1),
            block(width, 2 * width, 5, 2, 4),
            block(2 * width, 2 * width, 3, 1, 4),
            nn.Sequential(nn.Conv2d(2 * width, 6 * width, 1, bias=False), _norm(6 * width), nn.SiLU(inplace=True)),
        )
        self.avgpool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(6 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), nn.Conv2d(inputs, 2 * growth, 1, bias=False)
        self.norm2, self.conv2 = _norm(2 * growth), nn.Conv2d(2 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.norm1(x), inplace=True))
        return torch.cat([x, self.conv2(functional.relu(self.norm2(y)))], 1)


class DenseNet(nn.Module):
    def __init__(self, channels: int = 3, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), _norm(width), nn.ReLU(inplace=True))
        self.block1 = nn.Sequential(DenseLayer(width, 4), DenseLayer(width + 4, 4))
        self.transition = nn.Sequential(
            _norm(width + 8), nn.ReLU(), nn.Conv2d(width + 8, width, 1, bias=False), nn.AvgPool2d(2)
        )
        self.block2 = nn.Sequential(DenseLayer(width, 4), DenseLayer(width + 4, 4))
        self.norm, self.fc = _norm(width + 8), nn.Linear(width + 8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.block2(self.transition(self.block1(self.stem(x)))))
        x = functional.adaptive_avg_pool2d(functional.relu(x), 1).view(x.size(0), -1)
        return functional.log_softmax(self.fc(x), dim=1)


class Perceptron(nn.Module):
    def __init__(self, inputs: int, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 24), nn.ReLU(), nn.BatchNorm1d(24), nn.Linear(24, 16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1)))


class LeNet(nn.Module):
    """Fixed sizes in ``forward``, the image's normalization too, and layers behind a flattened image."""

    mean: Any

    def __init__(self, channels: int = 3, side: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, channels, 1, 1), 0.45))
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 10, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(10 * (side // 4) ** 2, 20), nn.Linear(20, classes)
        self.numbers = 10 * (side // 4) ** 2

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / torch.tensor(0.25)
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return functional.softmax(self.fc2(functional.relu(self.fc1(x.view(-1, self.numbers)))), dim=1)


CONVOLUTIONAL = (
    *(ResNet, PreactivationNet, MobileNetV2, MobileNetV3, EfficientNet, DenseNet),
    *(ResNeXt, CrossStageNet, SmallImageResNet, ShuffleNet),
)
"""Kinds that take the channels of their images and read images of any size."""


def made(kind: type[nn.Module], *arguments: Any, seed: int = 0, **named: Any) -> nn.Module:
    """Return a network with weights from ``seed``."""
    torch.manual_seed(seed)
    return kind(*arguments, **named).train(False)
