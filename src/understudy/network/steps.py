"""A network as a list of steps over named values: what reading a module gives, and what pruning and training work on.

It is a torch module of its own, made of plain layers, so that no code of the user runs once it was read: fixed sizes that a
``forward`` holds (``x.view(-1, 400)``) would not survive pruning.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from understudy.program.curves import apply
from understudy.program.real_curves import VALUE
from understudy.program.tokens_torch import attention, layer_norm

Kind = Literal[
    "normalize",
    "conv",
    "linear",
    "norm",
    "relu",
    "lookup",
    "add",
    "multiply",
    "concat",
    "max_pool",
    "average_pool",
    "mean",
    "max",
    "flatten",
    "standardize",
    "attention",
    "positions",
    "place",
]
PIXELS = "pixels"
"""The value that a network begins with: images ``[N, C, H, W]`` from 0 to 1."""


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        kind: ``mean`` and ``max`` pool all places; the other pools have a kernel.
        name: of the value that it gives.
        inputs: names of the values that it reads.
        where: the place in the user's network, for people: the qualified name of its module.
        kernel: rows and columns of a pool.
        stride: of a convolution or pool, for rows and columns alike.
        padding: zeros around the input of a convolution, nothing around that of a pool: top, left, bottom, right.
        ceiling: of a relu, 6 for relu6; None for none.
        reversed_channels: ``normalize`` gives blue first.
        curve: of a lookup, the function of each value; see ``program/curves.py``.
        epsilon: of ``standardize``, a layer norm without weights, what is added to the variance.
        heads: of an attention between queries, keys and values.
        factor: of its products.
        place: the one that is read, counted along the rows.
    """

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    where: str
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceiling: float | None = None
    reversed_channels: bool = False
    curve: str = VALUE
    epsilon: float = 0.0
    heads: int = 1
    factor: float = 1.0
    place: int = 0


class Normalize(nn.Module):
    """``x * scale + shift`` for each channel of what a device reads; it is not trained."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` ``[N, C, H, W]`` normalized."""
        return x * self.scale[:, None, None] + self.shift[:, None, None]


class Scaling(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the base of those for maps and for vectors
    """``x * weight + bias`` for each channel of a map or vector: a batch norm whose statistics are 0 and 1 for ever."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=0.0)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Keep the statistics."""
        return super().train(False)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's signature
        """Take maps and vectors."""


class Positions(nn.Module):
    """Adds a table ``[1, C, rows, 1]`` to a map; where it has more rows than that, places of zeros come first."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum for ``x`` ``[N, C, H, W]``."""
        lead = self.table.shape[2] - x.shape[2] * x.shape[3]
        if lead == 0:
            return x + self.table.reshape(1, *x.shape[1:])
        return functional.pad(x.flatten(2), (lead, 0))[..., None] + self.table


class Network(nn.Module):
    """Steps as a torch module: images ``[N, C, H, W]`` from 0 to 1 to logits ``[N, classes]``.

    Args:
        steps: in order; the last one gives the logits.
        layers: step's name to its convolution, linear layer, batch norm, table or normalization.
        shape: height, width and channels of an image.
    """

    def __init__(self, steps: Sequence[Step], layers: Mapping[str, nn.Module], *, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.steps, self.shape = tuple(steps), shape
        self.layers = nn.ModuleDict(dict(layers))

    @property
    def weight_count(self) -> int:
        """Learned numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def readers(self, name: str) -> list[Step]:
        """Return the steps that read the value ``name``."""
        return [step for step in self.steps if name in step.inputs]

    def layer(self, step: Step) -> nn.Module | None:
        """Return the torch module of ``step``, None where it has none."""
        return self.layers[step.name] if step.name in self.layers else None  # noqa: SIM401 - no get()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits."""
        values = {PIXELS: pixels}
        for step in self.steps:
            values[step.name] = run_step(step, self.layer(step), [values[name] for name in step.inputs])
        return values[self.steps[-1].name]


def run_step(step: Step, layer: nn.Module | None, inputs: Sequence[Tensor]) -> Tensor:
    """Return what ``step`` gives for ``inputs``."""
    x = inputs[0]
    match step.kind:
        case "normalize" | "linear" | "norm" | "conv" | "positions":
            assert layer is not None
            x = x.flip(1) if step.reversed_channels else x
            if step.kind == "conv" and not symmetric(step.padding):  # else the layer pads
                x = _padded(x, step, 0.0)
            return cast(Tensor, layer(x))
        case "relu":
            return functional.relu(x) if step.ceiling is None else functional.hardtanh(x, 0.0, step.ceiling)
        case "add":
            return inputs[0] + inputs[1]
        case "multiply":
            y = inputs[1]
            return x * (y if y.dim() == x.dim() else y[:, :, None, None])
        case "lookup":
            return apply(step.curve, x)
        case "concat":
            return torch.cat(list(inputs), dim=1)
        case "max_pool":
            return functional.max_pool2d(_padded(x, step, -torch.inf), step.kernel, step.stride)
        case "average_pool":
            return functional.avg_pool2d(_padded(x, step, 0.0), step.kernel, step.stride)
        case "mean":
            return functional.adaptive_avg_pool2d(x, 1).flatten(1)
        case "max":
            return functional.adaptive_max_pool2d(x, 1).flatten(1)
        case "flatten":
            return x.flatten(1)
        case "standardize":
            return layer_norm(x.movedim(1, -1), step.epsilon).movedim(-1, 1)
        case "attention":
            queries, keys, values = (each.permute(0, 2, 3, 1) for each in inputs)
            return attention((queries, keys, values), heads=step.heads, factor=step.factor).permute(0, 3, 1, 2)
        case "place":
            return x.flatten(2)[:, :, step.place]


def symmetric(padding: tuple[int, int, int, int]) -> bool:
    """Return whether as much is added above as below, and left as right."""
    return padding[:2] == padding[2:]


def _padded(x: Tensor, step: Step, value: float) -> Tensor:
    top, left, bottom, right = step.padding
    return functional.pad(x, (left, right, top, bottom), value=value) if any(step.padding) else x


def dumps(network: Network) -> bytes:
    """Return ``network`` as bytes that ``loads`` reads back: plain values and tensors."""
    layers = {name: _described(layer) for name, layer in network.layers.items()}
    described = {"steps": [asdict(step) for step in network.steps], "layers": layers, "shape": list(network.shape)}
    buffer = io.BytesIO()
    torch.save({"network": json.dumps(described), "state": network.state_dict()}, buffer)
    return buffer.getvalue()


def loads(content: bytes) -> Network:
    """Return the network that ``dumps`` wrote; no code of the file is run."""
    raw = torch.load(io.BytesIO(content), weights_only=True)
    described = json.loads(raw["network"])
    steps = [_step(each) for each in described["steps"]]
    layers = {name: _MAKERS[kind](**arguments) for name, (kind, arguments) in described["layers"].items()}
    network = Network(steps, layers, shape=tuple(described["shape"]))
    network.load_state_dict(raw["state"])
    return network


def _step(plain: dict[str, Any]) -> Step:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return Step(**values)


_MAKERS: dict[str, Callable[..., nn.Module]] = {
    "Conv2d": nn.Conv2d,
    "Linear": nn.Linear,
    "BatchNorm1d": nn.BatchNorm1d,
    "BatchNorm2d": nn.BatchNorm2d,
    "Positions": lambda channels, rows: Positions(torch.zeros(1, channels, rows, 1)),
    "Scaling": Scaling,
    "Normalize": lambda channels: Normalize(torch.ones(channels), torch.zeros(channels)),
}


def _described(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return the name of a layer's class and the arguments that make one of the same shape."""
    match layer:
        case nn.Conv2d():
            sizes = {"in_channels": layer.in_channels, "out_channels": layer.out_channels, "groups": layer.groups}
            kernel = {"kernel_size": list(layer.kernel_size), "stride": list(layer.stride)}
            more = {"padding": list(cast(tuple[int, int], layer.padding)), "bias": layer.bias is not None}
            return "Conv2d", {**sizes, **kernel, **more}
        case nn.Linear():
            sizes = {"in_features": layer.in_features, "out_features": layer.out_features}
            return "Linear", {**sizes, "bias": layer.bias is not None}
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return type(layer).__name__, {"num_features": layer.num_features, "eps": layer.eps}
        case Positions():
            return "Positions", {"channels": layer.table.shape[1], "rows": layer.table.shape[2]}
        case Scaling():
            return "Scaling", {"channels": layer.num_features}
        case Normalize():
            return "Normalize", {"channels": len(layer.scale)}
    raise TypeError(f"a network holds known layers: received {type(layer).__name__}")
