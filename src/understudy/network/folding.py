"""A ``Network`` as a float program: batch norms and the preparation of pixels become part of the layers beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.network.steps import PIXELS, Network, Scaling, Step, run_step
from understudy.program import tokens
from understudy.program.ops import (
    Add,
    Concat,
    Conv,
    DepthwiseConv,
    Flatten,
    Image,
    Layer,
    Linear,
    LocalMaxPool,
    MaxPool,
    Node,
    Program,
    Softmax,
    SumPool,
)
from understudy.program.pointwise import Lookup, Multiply

Float32Array = npt.NDArray[np.float32]
_NO_PADDING = (0, 0, 0, 0)
_READ_THROUGH = ("mean", "place")
"""What keeps numbers for each channel: a mean of ``x * scale + shift`` is that of ``x``, scaled and shifted."""


@dataclass(frozen=True)
class Weights:
    """How the program's weights shall be stored: bits of its linear layers, and one scale for each channel or each layer."""

    bits: Literal[4, 8]
    per_channel: bool


@dataclass(frozen=True, eq=False)
class _Affine:
    """``x * scale + shift`` for each channel, or each number of a vector; with ``reversed_channels`` of the last one first."""

    scale: Tensor
    shift: Tensor
    reversed_channels: bool = False


def to_program(network: Network, weights: Weights) -> Program:
    """Return ``network`` as it computes in evaluation, as a float program from pixels to probabilities."""
    with torch.no_grad():
        return _Folder(network, weights).program()


class _Folder:
    def __init__(self, network: Network, weights: Weights) -> None:
        self._network, self._weights = network, weights
        self._sizes = _sizes(network)
        self._nodes: list[Node] = [Image("pixels", "image", network.shape)]
        self._tensor = {PIXELS: "image"}
        self._waiting: dict[str, _Affine] = {}
        """Values whose affine part the layers that read them compute."""
        self._done: set[str] = set()

    def program(self) -> Program:
        last = self._network.steps[-1]
        for step in self._network.steps:
            if step.name not in self._done:
                self._step(step)
        logits = self._tensor[last.name]
        return Program((*self._nodes, Softmax(logits, "probabilities")))

    def _step(self, step: Step) -> None:
        match step.kind:
            case "conv" | "linear":
                self._layer(step)
            case "normalize" | "norm":
                self._norm(step)
            case "relu":
                self._identity(step)
            case "average_pool":
                channels = self._sizes[step.name][0]
                weight = torch.full((channels, *step.kernel), 1 / math.prod(step.kernel))
                self._emit(step, weight, torch.zeros(channels), depthwise=True, padding=step.padding)
            case _:
                self._plain(step)

    def _plain(self, step: Step) -> None:
        """Write what has no weights."""
        waiting = [self._waiting.get(name) for name in step.inputs]
        tensors = [self._tensor[name] for name in step.inputs]
        node: Node
        match step.kind:
            case "max_pool":
                node = LocalMaxPool(tensors[0], step.name, step.kernel, step.stride, step.padding)
            case "max":
                node = MaxPool(tensors[0], step.name)
            case "mean":
                node = SumPool(tensors[0], step.name, 1 / math.prod(self._sizes[step.inputs[0]][1:]))
            case "lookup":
                node = Lookup(tensors[0], step.name, step.curve)
            case "multiply":
                node = Multiply((tensors[0], tensors[1]), step.name)
            case "standardize":
                node = tokens.LayerNorm(tensors[0], step.name, step.epsilon, step.where)
            case "attention":
                queries, keys, values = tensors
                node = tokens.Attention((queries, keys, values), step.name, step.heads, step.factor, step.where)
            case "positions":
                layer: Any = self._network.layers[step.name]
                table = np.ascontiguousarray(layer.table[0, :, :, 0].numpy().T, np.float32)
                node = tokens.Positions(tensors[0], step.name, table)
            case "place":
                node = tokens.Place(tensors[0], step.name, step.place)
            case "concat":
                node = Concat(tuple(tensors), step.name)
            case "flatten":
                self._check_readers(step)
                node = Flatten(tensors[0], step.name)
                if waiting[0] is not None:
                    places = math.prod(self._sizes[step.inputs[0]][1:])
                    self._waiting[step.name] = replace(
                        waiting[0],
                        scale=waiting[0].scale.repeat_interleave(places),
                        shift=waiting[0].shift.repeat_interleave(places),
                    )
            case _:
                relu, ceiling, name = self._activation(step)
                self._tensor[step.name] = self._tensor[name] = name
                self._nodes.append(Add((tensors[0], tensors[1]), name, relu, ceiling))
                return
        if step.kind in _READ_THROUGH and waiting[0] is not None:
            self._waiting[step.name] = waiting[0]
        self._tensor[step.name] = step.name
        self._nodes.append(node)

    def _check_readers(self, step: Step) -> None:
        """Raise ``InputError`` where something keeps the order of a flattened image, which is another one in a program."""
        channels, *places = self._sizes[step.inputs[0]]
        readers = list(self._network.readers(step.name))
        for reader in readers:
            if reader.kind == "lookup":
                readers += self._network.readers(reader.name)
            elif channels > 1 and math.prod(places) > 1 and reader.kind not in ("linear", "norm", "relu"):
                raise InputError(
                    f"a network that is pruned reads a flattened image with a linear layer: received op={reader.kind!r} in "
                    f"module {reader.where!r}; put a linear layer or a pool of all places before it"
                )

    def _norm(self, step: Step) -> None:
        affine = _affine_of(self._network.layers[step.name])
        affine = replace(affine, reversed_channels=step.reversed_channels)
        source = step.inputs[0]
        if self._foldable(step, affine):
            self._tensor[step.name], self._waiting[step.name] = self._tensor[source], affine
            return
        if step.reversed_channels:  # a depthwise layer keeps the order, so that those behind it reverse it
            self._waiting[step.name] = _Affine(torch.ones_like(affine.scale), torch.zeros_like(affine.shift), True)
            affine = _Affine(affine.scale.flip(0), affine.shift.flip(0))
        self._scaled(step, affine)

    def _foldable(self, step: Step, affine: _Affine) -> bool:
        """Return whether every reader can compute the affine part: zeros around an image stay zeros only without a shift."""
        return all(
            reader.kind == "linear"
            or (reader.kind in ("flatten", *_READ_THROUGH) and self._read_by_linear(reader.name))
            or (
                reader.kind == "conv"
                and _groups(self._network.layers[reader.name]) == 1
                and (not any(reader.padding) or not bool(affine.shift.any()))
            )
            for reader in self._network.readers(step.name)
        )

    def _read_by_linear(self, name: str) -> bool:
        return all(reader.kind == "linear" for reader in self._network.readers(name))

    def _identity(self, step: Step) -> None:
        """Write a relu that belongs to no layer."""
        channels = self._sizes[step.name][0]
        self._scaled(step, _Affine(torch.ones(channels), torch.zeros(channels)))

    def _scaled(self, step: Step, affine: _Affine) -> None:
        if len(self._sizes[step.name]) == 1:
            self._emit(step, self._channels_last(step, torch.diag(affine.scale)), affine.shift, depthwise=False)
        else:
            self._emit(step, affine.scale[:, None, None], affine.shift, depthwise=True)

    def _layer(self, step: Step) -> None:
        layer: Any = self._network.layers[step.name]
        weight: Tensor = layer.weight
        depthwise = _groups(layer) > 1
        weight = weight[:, 0] if depthwise else weight
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
        before = self._waiting.get(step.inputs[0])
        if before is not None:
            bias = bias + (weight * before.shift.reshape(-1, *[1] * (weight.dim() - 2))).flatten(1).sum(dim=1)
            weight = weight * before.scale.reshape(-1, *[1] * (weight.dim() - 2))
            if before.reversed_channels:
                weight = self._unreversed(step, weight)
        if step.kind == "linear":
            weight = self._channels_last(step, weight)
        self._emit(step, weight, bias, depthwise=depthwise, padding=step.padding)

    def _unreversed(self, step: Step, weight: Tensor) -> Tensor:
        if step.kind == "conv":
            return weight.flip(1)
        channels = self._network.shape[2]
        return weight.reshape(len(weight), channels, -1).flip(1).flatten(1)

    def _channels_last(self, step: Step, weight: Tensor) -> Tensor:
        """Return the weights of a linear layer behind a flattened image, which a program flattens with its channels last."""
        source = self._made(step.inputs[0])
        if source is None or source.kind != "flatten":
            return weight
        channels, rows, columns = self._sizes[source.inputs[0]]
        return weight.reshape(-1, channels, rows, columns).permute(0, 2, 3, 1).flatten(1)

    def _made(self, name: str) -> Step | None:
        """Return the step that gives ``name``, looking through lookups and folded batch norms."""
        step = next((each for each in self._network.steps if each.name == name), None)
        if step is not None and (step.kind == "lookup" or (step.kind == "norm" and name in self._waiting)):
            return self._made(step.inputs[0])
        return step

    def _sole_reader(self, name: str, kind: str) -> Step | None:
        readers = self._network.readers(name)
        found = len(readers) == 1 and readers[0].kind == kind and name != self._network.steps[-1].name
        return readers[0] if found else None

    def _activation(self, step: Step) -> tuple[bool, float | None, str]:
        """Return whether a relu alone reads ``step``, its ceiling, and the name of the tensor that comes of both."""
        after = self._sole_reader(step.name, "relu")
        if after is None or step.reversed_channels:
            return False, None, step.name
        self._done.add(after.name)
        return True, after.ceiling, after.name

    def _emit(
        self, step: Step, weight: Tensor, bias: Tensor, *, depthwise: bool, padding: tuple[int, int, int, int] = _NO_PADDING
    ) -> None:
        """Write a layer with the batch norm and the relu behind it, if they alone read it."""
        name = step.name
        norm = None if step.reversed_channels or step.kind == "relu" else self._sole_reader(name, "norm")
        if norm is not None:
            after = _affine_of(self._network.layers[norm.name])
            weight = weight * after.scale.reshape(-1, *[1] * (weight.dim() - 1))
            bias = bias * after.scale + after.shift
            self._done.add(norm.name)
            step_behind, name = norm, norm.name
        else:
            step_behind = step
        alone = step.kind == "relu"
        relu, ceiling, name = (True, step.ceiling, step.name) if alone else self._activation(step_behind)
        for each in (step.name, step_behind.name, name):
            self._tensor[each] = name
        source = self._tensor[step.inputs[0]]
        self._nodes.append(
            self._node(step, source, name, weight, bias, depthwise=depthwise, padding=padding, relu=relu, ceiling=ceiling)
        )

    def _node(
        self,
        step: Step,
        source: str,
        name: str,
        weight: Tensor,
        bias: Tensor,
        *,
        depthwise: bool,
        padding: tuple[int, int, int, int],
        relu: bool,
        ceiling: float | None,
    ) -> Layer:
        numbers = bias.numpy().astype(np.float32)
        shared: dict[str, Any] = {"bias": numbers, "relu": relu, "ceiling": ceiling, "per_channel": self._weights.per_channel}
        if depthwise:
            kernel = np.ascontiguousarray(weight.numpy(), np.float32)
            return DepthwiseConv(source, name, weight=kernel, stride=step.stride, padding=padding, **shared)
        if weight.dim() == 2 or (weight.shape[2:] == (1, 1) and step.stride == 1 and not any(padding)):
            rows = np.ascontiguousarray(weight.flatten(1).numpy(), np.float32)
            return Linear(source, name, weight=rows, bits=self._weights.bits, **shared)
        kernel = np.ascontiguousarray(weight.permute(0, 2, 3, 1).numpy(), np.float32)
        return Conv(source, name, weight=kernel, stride=step.stride, padding=padding, **shared)


def _groups(layer: Any) -> int:
    return layer.groups if isinstance(layer, nn.Conv2d) else 1


def _affine_of(layer: Any) -> _Affine:
    """Return what a batch norm, a number for each channel, or a normalization does in evaluation."""
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | Scaling):
        assert layer.running_var is not None
        assert layer.running_mean is not None
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        return _Affine(scale, layer.bias - layer.running_mean * scale)
    return _Affine(layer.scale, layer.shift)


def _sizes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return channels, rows and columns, or the length, of every value."""
    height, width, channels = network.shape
    values = {PIXELS: torch.zeros(1, channels, height, width)}
    was_training = network.training
    network.train(False)
    for step in network.steps:
        layer = network.layer(step)
        values[step.name] = run_step(step, layer, [values[name] for name in step.inputs])
    network.train(was_training)
    return {name: tuple(value.shape[1:]) for name, value in values.items()}
