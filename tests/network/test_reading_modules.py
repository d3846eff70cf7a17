"""Modules as people bring them: in other numbers, in mixed modes, exported, scripted, with several answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network
from understudy.teachers.image_input import UNIT


def read(module: nn.Module) -> Network:
    return read_network(module, Taken("NCHW", UNIT, tuple(range(10))), shape=(8, 8, 3), name="theirs")


def plain() -> nn.Sequential:
    torch.manual_seed(4)
    body = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(6, 10)).train(False)


@pytest.mark.parametrize("numbers", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_of_other_numbers_is_read_as_a_copy(numbers: torch.dtype) -> None:
    module = plain().to(numbers)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    network = read(module)
    assert all(value.dtype == before[key].dtype for key, value in module.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    images = torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network(images), module.float()(images), atol=1e-5)


class Casting(nn.Module):
    """A network that turns images into its own numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain().half()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.half())


def test_casts_to_the_numbers_of_a_module_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"read by torch.export: received teacher='theirs' \(.*; take out .* casts such as x.half"
    ):
        read(Casting().train(False))


class Settings(nn.Module):
    """A network that computes under settings."""

    def __init__(self, *, rounded: bool) -> None:
        super().__init__()
        self.body, self.rounded = plain(), rounded

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.rounded):
            x = self.body[:5](x)
            with torch.enable_grad():
                x = x * 2
        return self.body[5:](x.float())


@pytest.mark.parametrize("rounded", [False, True])
def test_what_runs_under_a_setting_is_read_without_it(*, rounded: bool) -> None:
    network = read(Settings(rounded=rounded).train(False))
    images = torch.rand(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network(images), Settings(rounded=False).train(False)(images), atol=1e-5)


class Answers(nn.Module):
    """Logits between other answers, one of which no student computes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.beside = plain(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        features = self.body[:6](x)
        logits = self.body[6](features)
        return {"features": features, "logits": logits, "beside": self.beside(features).sort().values}


def test_logits_are_found_among_other_answers() -> None:
    images = torch.rand(4, 3, 8, 8)
    network = read(Answers().train(False))
    with torch.no_grad():
        assert torch.allclose(network(images), plain()(images), atol=1e-5)
    assert network.steps[-1].kind == "linear"


class Several(nn.Module):
    """Answers that have no logits."""

    def __init__(self, several: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.body, self.several = plain(), several

    def forward(self, x: Tensor) -> Any:
        return self.several(self.body(x))


@pytest.mark.parametrize("several", [lambda x: (x, 2 * x), lambda x: {"scores": x}, lambda x: [x]])
def test_answers_without_logits_are_refused(several: Callable[[Tensor], Any]) -> None:
    with pytest.raises(InputError, match="is not one row of logits for each image; end the network with a linear layer"):
        read(Several(several).train(False))


def test_logits_may_keep_an_axis_for_their_place() -> None:
    torch.manual_seed(5)
    network = read(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 10, 1)).train(False))
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 10)


def test_parts_in_another_mode_than_the_whole_are_read_in_evaluation() -> None:
    module = plain()
    module[1].train()
    read(module)
    assert [each.training for each in module] == [False, True, False, False, False, False, False]


def test_an_exported_module_has_no_mode() -> None:
    batch = torch.export.Dim("batch")
    exported = torch.export.export(plain(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: batch},)).module()
    assert [step.kind for step in read(exported).steps] == [step.kind for step in read(plain()).steps]


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda module: torch.jit.trace(module, torch.zeros(2, 3, 8, 8))])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused(compiled: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(InputError, match=r"'theirs', which holds a ScriptModule; give the module that it was made from"):
        read(nn.Sequential(compiled(plain())))
