"""Vision transformers compute as steps and as a program what their modules do, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import vision_transformers
from understudy.errors import InputError
from understudy.network.folding import Weights, to_program
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network, dumps, loads
from understudy.program.executor import Executor
from understudy.program.islands import islands_of
from understudy.teachers.image_input import IMAGENET, UNIT, PixelRange, Shape
from understudy.teachers.image_model import test_patterns as patterns
from vision_transformers import (
    ChunkedAttention,
    ConvNext,
    EncoderTransformer,
    TorchAttention,
    VisionTransformer,
    WrittenAttention,
)

COLUMNS = (3, 1, 2, 0, 4, 5, 6, 7, 9, 8)


@dataclass(frozen=True)
class Case:
    name: str
    module: Callable[[], nn.Module]
    layer_norms: int
    attentions: int
    shape: Shape = (8, 8, 1)
    pixels: PixelRange = UNIT


CASES = (
    Case("fused", VisionTransformer, 5, 2),
    Case("fused-mean", lambda: VisionTransformer(class_token=False), 5, 2),
    Case("fused-colours", lambda: VisionTransformer(3, places=6, patch=4, heads=4), 5, 2, (8, 12, 3), IMAGENET),
    Case("written", lambda: VisionTransformer(attention=WrittenAttention), 5, 2),
    Case("written-one-head-scaled", lambda: VisionTransformer(attention=WrittenAttention, heads=1, scaled=True), 5, 2),
    Case("chunked", lambda: VisionTransformer(attention=ChunkedAttention, class_token=False), 5, 2),
    Case("torch", lambda: VisionTransformer(attention=TorchAttention), 5, 2),
    Case("torch-weights", lambda: VisionTransformer(attention=lambda w, h: TorchAttention(w, h, weights=True)), 5, 2),
    Case("torch-tokens-first", lambda: VisionTransformer(attention=lambda w, h: TorchAttention(w, h, batch_first=False)), 5, 2),
    Case("encoder", EncoderTransformer, 5, 2, (16, 16, 3), IMAGENET),
    Case("encoder-norm-last", lambda: EncoderTransformer(1, norm_first=False), 5, 2, (16, 16, 1)),
    Case("convnext", ConvNext, 2, 0, (8, 10, 3)),
)


def read(module: nn.Module, case: Case) -> Network:
    return read_network(module, Taken("NCHW", case.pixels, COLUMNS), shape=case.shape, name="theirs")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_steps_and_program_compute_what_the_module_does(case: Case) -> None:
    torch.manual_seed(0)
    module = vision_transformers.random(case.module())
    network = loads(dumps(read(module, case))).train(False)
    images = torch.from_numpy(patterns(case.shape)[:16].astype(np.float32) / 255)
    program = to_program(network, Weights(8, per_channel=True))
    mean, deviation = (torch.tensor(each) for each in (case.pixels.mean, case.pixels.deviation))
    given = ((images * 255 / case.pixels.divisor - mean) / deviation).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = module(given.float())[:, list(COLUMNS)]
        assert wanted.std(dim=0).mean() > 0.05  # the answers differ
        for found in (network(images.permute(0, 3, 1, 2)), Executor(program).train(False)(images)):
            assert torch.allclose(found, wanted, atol=2e-4 * float(wanted.abs().max())), case.name
    names = islands_of(program)
    assert [name.startswith("layer norm in ") for name in names].count(True) == case.layer_norms
    assert [name.startswith("attention in ") for name in names].count(True) == case.attentions


def test_islands_are_named_by_their_modules() -> None:
    program = to_program(read(vision_transformers.random(VisionTransformer(depth=1)), CASES[0]), Weights(8, per_channel=True))
    assert islands_of(program) == (
        "layer norm in blocks.0.norm1",
        "attention in blocks.0.attn",
        "layer norm in blocks.0.norm2",
        "layer norm in norm",
    )


class Changed(VisionTransformer):
    """A transformer whose tokens something happens to."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(class_token=False, depth=1)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(self.change(x))).mean(1))


class Gated(nn.Module):
    """Two halves of one layer, the one the gate of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(16, 24), nn.Linear(12, 16)

    def forward(self, x: Tensor) -> Tensor:
        gate, x = self.wide(x).chunk(2, dim=-1)
        return self.narrow(gate * torch.sigmoid(1.702 * gate) * x)


class Mapped(nn.Module):
    """Tokens as a map, a convolution over it, and tokens again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x.transpose(1, 2).reshape(-1, 16, 4, 4))).flatten(2).transpose(1, 2)


class Registers(VisionTransformer):
    """Positions before the tokens that were learned, and all tokens read at once."""

    def __init__(self) -> None:
        super().__init__(depth=1)
        self.positions, self.registers = nn.Parameter(torch.randn(1, 16, 16)), nn.Parameter(torch.randn(1, 3, 16))
        self.head = nn.Linear(20 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        assert self.token is not None
        learned = (each.expand(x.shape[0], -1, -1) for each in (self.token, self.registers))
        return self.head(self.norm(self.blocks(torch.cat([*learned, x], dim=1))).transpose(1, 2).flatten(1))


def _masked(x: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(16, 16).tril().bool())


def _biased(x: Tensor) -> Tensor:
    return torch.softmax(x @ x.transpose(1, 2) + torch.eye(16), dim=-1) @ x


def _windows(x: Tensor) -> Tensor:
    y = x.reshape(-1, 4, 16)
    return functional.scaled_dot_product_attention(y, y, y).reshape(x.shape)


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "mask": (_masked, "scaled_dot_product_attention", "has a mask"),
    "bias of scores": (_biased, "add", "changes the scores of an attention"),
    "windows": (_windows, "scaled_dot_product_attention", "attends to a part of the tokens"),
    "part of the tokens": (lambda x: functional.gelu(x[:, 1:]).repeat(1, 2, 1)[:, :16], "gelu", "takes a part of the tokens"),
    "tokens turned": (
        lambda x: functional.layer_norm(x.transpose(1, 2), (16,)).transpose(1, 2),
        "layer_norm",
        "norms something",
    ),
    "heads of a norm": (
        lambda x: functional.layer_norm(x.reshape(-1, 16, 4, 4), (4,)).reshape(x.shape),
        "layer_norm",
        "norms some",
    ),
    "weights of tokens": (lambda x: x * torch.rand(1, 16, 1), "mul", "multiplies each token with numbers of its own"),
    "mixed tokens": (
        lambda x: functional.linear(x.transpose(1, 2), torch.rand(16, 16)).transpose(1, 2),
        "linear",
        "several tokens",
    ),
    "sorted": (lambda x: x.sort(dim=1).values, "sort", "is not known for tokens"),
}


@pytest.mark.parametrize("module", [lambda: Changed(Gated()), lambda: Changed(Mapped()), Registers])
def test_layers_of_other_kinds(module: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    theirs = vision_transformers.random(module())
    program = to_program(read(theirs, CASES[0]), Weights(8, per_channel=True))
    images = torch.from_numpy(patterns((8, 8, 1))[:16].astype(np.float32) / 255)
    with torch.no_grad():
        wanted = theirs(images.permute(0, 3, 1, 2))[:, list(COLUMNS)]
        found = Executor(program).train(False)(images)
    assert torch.allclose(found, wanted, atol=2e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_known_of_tokens_is_refused_by_name_and_place(name: str) -> None:
    change, operator, why = CHANGES[name]
    with pytest.raises(InputError) as caught:
        read(Changed(change).train(False), CASES[0])
    message = str(caught.value)
    assert f"received op='{operator}' in forward() of the network itself of 'theirs' (test_reading_tokens.py, line " in message
    assert why in message
    assert "\n" not in message
