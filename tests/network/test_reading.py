"""A network that was read computes what its module does, as steps and as a program; what is not known is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from networks import DenseNet, EfficientNet, LeNet, MobileNetV2, MobileNetV3, Perceptron, PreactivationNet, ResNet, made
from understudy.errors import InputError
from understudy.network.folding import Weights, to_program
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network, dumps, loads
from understudy.program.executor import Executor
from understudy.teachers.image_input import (
    CAFFE,
    IMAGENET,
    RAW,
    UNIT,
    ImageInput,
    Layout,
    PixelRange,
    Preparation,
    Shape,
)
from understudy.teachers.image_model import test_patterns as patterns

COLUMNS = (3, 1, 2, 0, 4, 5, 6, 7, 9, 8)


@dataclass(frozen=True)
class Case:
    name: str
    module: Callable[[], nn.Module]
    shape: Shape = (16, 16, 3)
    layout: Layout = "NCHW"
    pixels: PixelRange = UNIT


CASES = (
    Case("resnet", lambda: made(ResNet)),
    Case("resnet-imagenet", lambda: made(ResNet), pixels=IMAGENET),
    Case("resnet-blue-first", lambda: made(ResNet), pixels=CAFFE),
    Case("preactivation", lambda: made(PreactivationNet), pixels=IMAGENET),
    Case("mobilenet_v2", lambda: made(MobileNetV2), pixels=RAW),
    Case("mobilenet_v3", lambda: made(MobileNetV3), pixels=IMAGENET),
    Case("mobilenet_v3-grey", lambda: made(MobileNetV3, 1), shape=(11, 14, 1)),
    Case("efficientnet", lambda: made(EfficientNet), pixels=CAFFE),
    Case("densenet", lambda: made(DenseNet), pixels=IMAGENET),
    Case("densenet-grey", lambda: made(DenseNet, 1), shape=(9, 12, 1)),
    Case("lenet", lambda: made(LeNet)),
    Case("perceptron", lambda: made(Perceptron, 192), shape=(8, 8, 3), pixels=IMAGENET),
    Case("perceptron-flat", lambda: made(Perceptron, 192), shape=(8, 8, 3), layout="flat", pixels=CAFFE),
    Case("perceptron-nhwc", lambda: made(Perceptron, 192), shape=(8, 8, 3), layout="NHWC", pixels=IMAGENET),
    Case("perceptron-nhw", lambda: made(Perceptron, 64), shape=(8, 8, 1), layout="NHW"),
)


def read(module: nn.Module, case: Case) -> Network:
    return read_network(module, Taken(case.layout, case.pixels, COLUMNS), shape=case.shape, name="theirs")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_steps_and_program_compute_what_the_module_does(case: Case) -> None:
    module = case.module()
    network = loads(dumps(read(module, case))).train(False)
    images = patterns(case.shape)[:16]
    given = torch.from_numpy(Preparation(ImageInput(), case.layout, case.pixels)(images))
    pixels = torch.from_numpy(images.astype(np.float32) / 255)
    program = to_program(network, Weights(8, per_channel=True))
    assert program.shapes()[program.logits] == (10,)
    with torch.no_grad():
        wanted = module(given)[:, list(COLUMNS)].log_softmax(dim=1)
        if float(module(given).min()) >= 0:  # it ends in a softmax
            wanted = module(given)[:, list(COLUMNS)].log()
        for found in (network(pixels.permute(0, 3, 1, 2)), Executor(program).train(False)(pixels)):
            assert torch.allclose(found.log_softmax(dim=1), wanted, atol=2e-4), case.name


def test_reading_changes_nothing_of_the_module() -> None:
    module = made(ResNet).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    network = read(module, CASES[0])
    assert module.training
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_an_answer_of_one_column_is_of_two_classes() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 1), nn.Sigmoid())
    network = read_network(module, Taken("NCHW", UNIT, (1, 0)), shape=(4, 4, 3), name="theirs")
    images = torch.rand(5, 3, 4, 4)
    probabilities = network(images).softmax(dim=1)
    assert torch.allclose(probabilities[:, 0], module(images)[:, 0], atol=1e-6)


class Sums(nn.Module):
    """Values that were changed in place, constants, and a padding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 6, (1, 3), padding=(0, 1))
        self.fc = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.pad(x * 2 - 1, (0, 1, 0, 1)))
        y = self.other(x)
        x.relu_()
        y = y.add_(x).clamp_(0, 4)
        z = (x + y) * 0.5 + 0.1
        return self.fc(z.amax(dim=(2, 3)))


def test_what_is_changed_in_place_is_read_as_changed() -> None:
    torch.manual_seed(1)
    module = Sums()
    network = read(module, CASES[0])  # it is compared with the module in there
    assert [step.kind for step in network.steps].count("add") == 2


class Fire(nn.Module):
    """Branches that are joined, pools that go beyond the image, a convolution and a temperature behind the last pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 4, 1)
        self.one, self.three = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding="same")
        self.norm = nn.BatchNorm2d(12)
        self.head, self.last = nn.Conv2d(12, 9, 1), nn.Conv2d(9, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2, ceil_mode=True)
        x = functional.relu(self.squeeze(x))
        x = torch.cat([self.one(x), self.three(x)], dim=1).relu()
        x = functional.avg_pool2d(self.norm(x * torch.full((12, 1, 1), 0.7)), x.shape[-1])
        x = self.last(functional.relu(self.head(x)))
        return x.squeeze(-1).squeeze(-1) / 1.5


class NoLinear(nn.Module):
    """Ends in a pool, as SqueezeNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Dropout2d(), nn.Conv2d(8, 10, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(functional.adaptive_avg_pool2d(self.body(x), 1), 1)


class Rows(nn.Module):
    """The mean of places that were made a row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(2).mean(2))


@pytest.mark.parametrize(("module", "columns"), [(Fire, COLUMNS), (NoLinear, tuple(range(10))), (Rows, COLUMNS)])
def test_heads_of_other_kinds(module: type[nn.Module], columns: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    theirs = module().train(False)
    network = read_network(theirs, Taken("NCHW", UNIT, columns), shape=(16, 16, 3), name="theirs")
    images = torch.rand(4, 3, 16, 16)
    program = to_program(network, Weights(8, per_channel=True))
    with torch.no_grad():
        wanted = theirs(images)[:, list(columns)]
        assert torch.allclose(network(images), wanted, atol=1e-5)
        assert torch.allclose(Executor(program).train(False)(images.permute(0, 2, 3, 1)), wanted, atol=1e-5)


class Written(nn.Module):
    """An activation that is written out."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "hardswish": nn.Hardswish,
    "hardswish in place": lambda: nn.Hardswish(inplace=True),
    "hardsigmoid": nn.Hardsigmoid,
    "silu": lambda: nn.SiLU(inplace=True),
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "gelu by tanh": lambda: nn.GELU(approximate="tanh"),
    "tanh": nn.Tanh,
    "leaky relu": lambda: nn.LeakyReLU(0.2),
    "prelu": nn.PReLU,
    "elu": lambda: nn.ELU(0.7),
    "celu": lambda: nn.CELU(1.7),
    "selu": nn.SELU,
    "mish": nn.Mish,
    "softplus": lambda: nn.Softplus(2.0),
    "softsign": nn.Softsign,
    "log sigmoid": nn.LogSigmoid,
    "hardtanh": nn.Hardtanh,
    "relu6 around 3": lambda: Written(lambda x: x * functional.relu6(x + 3) / 6),
    "relu6 over 6": lambda: Written(lambda x: x * (functional.relu6(x + 3.0) / 6.0)),
    "relu6 times a sixth": lambda: Written(lambda x: (functional.relu6(x + 3) * (1 / 6)).mul(x)),
    "gate of relu6": lambda: Written(lambda x: functional.relu6(x + 3, inplace=True) / 6),
    "clamp": lambda: Written(lambda x: x.clamp(-2, 0.5)),
    "swish": lambda: Written(lambda x: x * torch.sigmoid(x)),
    "swish in place": lambda: Written(lambda x: x.mul_(x.sigmoid())),
    "mish written out": lambda: Written(lambda x: x * torch.tanh(functional.softplus(x))),
    "gelu by sigmoid": lambda: Written(lambda x: x * torch.sigmoid(1.702 * x)),
    "one less": lambda: Written(lambda x: 1 - torch.sigmoid(-x)),
    "square": lambda: Written(lambda x: x**2),
    "x times x": lambda: Written(lambda x: x * x),
}


PLACES = [(name, "map") for name in ACTIVATIONS] + [
    (name, on)
    for name in ("hardswish", "relu6 around 3", "gate of relu6", "swish in place")
    for on in ("vector", "single place", "flattened")
]


@pytest.mark.parametrize(("name", "on"), PLACES)
def test_an_activation_is_one_lookup_however_it_is_written(name: str, on: str) -> None:
    torch.manual_seed(3)
    layer = ACTIVATIONS[name]()
    if on == "map":
        module = whole(layer)
    elif on == "flattened":
        module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.Flatten(), layer, nn.Linear(64, 10))
    elif on == "vector":
        module = nn.Sequential(nn.Flatten(), nn.Linear(768, 6), layer, nn.Linear(6, 10))
    else:
        pool = [nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 6, 1)]
        module = nn.Sequential(*pool, layer, nn.Flatten(), nn.Linear(6, 10))
    network = loads(dumps(read(module.train(False), CASES[0]))).train(False)
    images = torch.rand(4, 3, 16, 16)
    program = to_program(network, Weights(8, per_channel=True))
    with torch.no_grad():
        wanted = module(images.clone())[:, list(COLUMNS)]
        assert torch.allclose(network(images), wanted, atol=1e-5)
        assert torch.allclose(Executor(program).train(False)(images.permute(0, 2, 3, 1)), wanted, atol=1e-5)
    assert [step.kind for step in network.steps].count("lookup") == 1
    assert len(network.layers) == (4 if on == "single place" else 3)


class Gates(nn.Module):
    """Gates in other words: of linear layers and expanded, and gates that are maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.spread = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8)
        self.squeeze, self.excite, self.beside = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False), nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.stem(x))
        y = self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1).view(x.size(0), 8))))
        x = x * torch.sigmoid(y).view(x.size(0), 8, 1, 1).expand_as(x)
        x = functional.relu6(x.mean((2, 3), keepdim=True) + 3) / 6 * self.spread(x)
        x = self.beside(x) * torch.tanh(x)
        y = x.mean((2, 3))
        return self.fc(y * functional.hardswish(self.excite(self.squeeze(y))))


def test_gates_are_products() -> None:
    torch.manual_seed(4)
    module = Gates().train(False)
    network = read(module, CASES[0])
    images = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        wanted = module(images)[:, list(COLUMNS)]
        program = to_program(network, Weights(8, per_channel=True))
        assert torch.allclose(network(images), wanted, atol=1e-5)
        assert torch.allclose(Executor(program).train(False)(images.permute(0, 2, 3, 1)), wanted, atol=1e-5)
    assert [step.kind for step in network.steps].count("multiply") == 4


class Places(nn.Module):
    """A gate for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.fc = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc((x * torch.sigmoid(self.gate(x))).mean((2, 3)))


class Grey(Places):
    """What one channel says, added to all."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc((x + self.gate(x)).mean((2, 3)))


def whole(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


REFUSED = {
    "softshrink": (lambda: whole(nn.Sequential(nn.Softshrink())), "op='softshrink' in module '1.0'", "is not known"),
    "slopes": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.PReLU(4), nn.Linear(4, 10)),
        "op='prelu' in module '2' of 'theirs'",
        "has 4 slopes",
    ),
    "layer norm": (lambda: whole(nn.LayerNorm(16)), "op='layer_norm' in module '1'", "use a batch norm, nn.BatchNorm2d"),
    "places": (Places, "op='mul' in forward()", "multiplies axes 'nchw' of (4, 16, 16) and 'nchw' of (1, 16, 16)"),
    "many answers": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 257), nn.Tanh()),
        "op='output' in forward()",
        "comes from 'lookup', for 257 classes",
    ),
    "groups": (
        lambda: whole(nn.Sequential(nn.Conv2d(4, 66, 1), nn.Conv2d(66, 66, 1, groups=33), nn.Conv2d(66, 4, 1))),
        "op='conv2d' in module '1.1'",
        "has groups=33 for 66 outputs",
    ),
    "dilation": (
        lambda: whole(nn.Conv2d(4, 4, 3, dilation=4)),
        "op='conv2d' in module '1'",
        "has dilation=4 over all channels",
    ),
    "stride": (
        lambda: whole(nn.Conv2d(4, 4, 3, stride=(1, 2))),
        "op='conv2d' in module '1'",
        "differs between rows and columns",
    ),
    "ceiling": (
        lambda: whole(nn.AvgPool2d(3, 2, ceil_mode=True)),
        "op='avg_pool2d' in module '1'",
        "does not divide every sum",
    ),
    "transposed": (lambda: whole(nn.ConvTranspose2d(4, 4, 2)), "op='conv_transpose2d' in module '1'", "is not known"),
    "one channel": (
        lambda: whole(Written(lambda x: x + x.amax(dim=(2, 3), keepdim=True))),
        "op='add' in module '1'",
        "adds axes 'nchw' of (4, 16, 16) and 'nc11' of (4,)",
    ),
    "grey": (
        Grey,
        "op='add' in forward() of the network itself",
        "adds axes 'nchw' of (4, 16, 16) and 'nchw' of (1, 16, 16)",
    ),
    "rows": (
        lambda: whole(Written(lambda x: functional.relu(x.mean(3)).mean(2)[:, :, None, None])),
        "op='relu' in module '1'",
        "reads axes 'nch', of a pool of rows or columns alone",
    ),
    "part": (lambda: whole(Written(lambda x: x[:, :, 1:])), "op='slice' in module '1'", "reads a part of an image"),
    "softmax": (
        lambda: whole(Written(lambda x: x * x.mean((2, 3)).softmax(1)[:, :, None, None])),
        "op='unsqueeze' in module '1'",
        "reads the probabilities of a softmax in the middle",
    ),
    "attention": (
        lambda: whole(Written(lambda x: functional.scaled_dot_product_attention(x, x, x))),
        "op='scaled_dot_product_attention' in module '1'",
        "multiplies maps as matrices",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_by_name_and_place(name: str) -> None:
    make, place, why = REFUSED[name]
    module = make()
    with pytest.raises(InputError) as caught:
        read(module.train(False), CASES[0])
    message = str(caught.value)
    assert place in message
    assert why in message
    assert "; " in message
    assert "\n" not in message
