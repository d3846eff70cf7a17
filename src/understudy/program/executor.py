"""Runs a float program in torch, any batch, with gradients: what training and quantization-aware training use.

The executor begins behind the source node: its input is what a source makes of an example.
With a ``Scheme`` it computes as the integer program will (fake quantization with learned scales: Esser et al. 2020,
"Learned Step Size Quantization", equations 1, 3 and 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from understudy.program.curves import apply
from understudy.program.groups import fixed_scales, quantization_groups, scale_limits, signed_tensors, steps_of
from understudy.program.ops import (
    WEIGHT_LIMIT,
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
    ProjectBoxes,
    ProjectText,
    ProjectVector,
    Scan,
    Softmax,
    Sound,
    Standardize,
    SumPool,
    Window,
)
from understudy.program.pointwise import Lookup, Multiply
from understudy.program.scan_torch import scan
from understudy.program.tokens import Attention, LayerNorm, Place, Positions
from understudy.program.tokens_torch import attention, layer_norm, with_positions
from understudy.projections.boxes_torch import BoxLayer
from understudy.projections.dense_torch import DenseProjectionLayer


@dataclass(frozen=True)
class Scheme:
    """Initial scales of a fake-quantized executor.

    Attributes:
        weights: layer's output name to float32 ``[1]`` or ``[out]``.
        activations: name of a quantization group (see ``quantization_groups``) to its scale.
    """

    weights: Mapping[str, npt.NDArray[np.float32]]
    activations: Mapping[str, float]


def learned_step(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """Return ``scale * clamp(round(x / scale), low, high)`` with straight-through gradients for ``x`` and ``scale``.

    ``scale`` is positive: one value, or one for each of the first axis of ``x`` in a shape that broadcasts.
    """
    rounded: Tensor = _LearnedStep.apply(x, scale, low, high)  # type: ignore[no-untyped-call]
    return rounded


class _LearnedStep(torch.autograd.Function):
    """The same as a composition of torch's functions, in a third of the passes over memory, which is what takes the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        ratio = x / scale
        steps = ratio.clamp(low, high).round_()
        ctx.save_for_backward(ratio, steps)
        ctx.low, ctx.high, ctx.scale_shape = low, high, scale.shape
        return steps * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        [gradient] = gradients
        ratio, steps = ctx.saved_tensors
        # the gradient of clamp: as given inside the limits, 0 at and beyond them
        inside = torch.ops.aten.hardtanh_backward(gradient, ratio, ctx.low, ctx.high)
        count = ctx.scale_shape.numel()
        rows = _dot(gradient, steps, count) - _dot(inside, ratio, count)
        gradient_scale = 1.0 / (ratio.numel() / count * max(ctx.high, 1)) ** 0.5
        return inside, (rows * gradient_scale).reshape(ctx.scale_shape), None, None


def _dot(a: Tensor, b: Tensor, rows: int) -> Tensor:
    """Return the sums ``[rows]`` of ``a * b`` over all axes but the first."""
    return (a.reshape(rows, 1, -1) @ b.reshape(rows, -1, 1)).flatten()


class Executor(nn.Module):
    """A program as a torch module.

    Args:
        program: a float program.
        scheme: initial scales, or None to compute in float.
        dropout: share of values dropped after each hidden tensor while training.
        normalized: put a batch norm (Ioffe & Szegedy 2015) behind each hidden layer over places, to learn faster in float.
            It becomes part of the layer's weights in ``learned``, and for good in ``quantize``.
    """

    def __init__(
        self, program: Program, *, scheme: Scheme | None = None, dropout: float = 0.0, normalized: bool = False
    ) -> None:
        super().__init__()
        self.graph = program
        self.dropout = dropout
        self.groups, self.signed, self.scale_limits = (
            quantization_groups(program),
            signed_tensors(program),
            scale_limits(program),
        )
        self.weight = nn.ParameterDict()
        self.bias = nn.ParameterDict()
        for node in program.layers:
            self.weight[node.output] = nn.Parameter(torch.tensor(node.weight, dtype=torch.float32))
            if node.bias is not None:
                self.bias[node.output] = nn.Parameter(torch.tensor(node.bias, dtype=torch.float32))
        tables = {node.output: torch.tensor(node.table) for node in program.nodes if isinstance(node, Positions)}
        self.table = nn.ParameterDict({name: nn.Parameter(table) for name, table in tables.items()})
        shapes = program.shapes()
        self.scanned = frozenset(node.input for node in program.nodes if isinstance(node, Scan))
        bounded = [n for n in program.layers if n.relu or n.output in self.scanned] if normalized else []
        over_places = [n for n in bounded if len(shapes[n.output]) == 3]
        self.norm = nn.ModuleDict({node.output: nn.BatchNorm2d(len(node.weight)) for node in over_places})
        self.projections = nn.ModuleDict(
            {
                node.output: BoxLayer(node.projection)
                if isinstance(node, ProjectBoxes)
                else DenseProjectionLayer(node.projection)
                for node in program.nodes
                if isinstance(node, ProjectBoxes | ProjectVector)
            }
        )
        self.weight_scale = nn.ParameterDict()
        self.activation_scale = nn.ParameterDict()
        if scheme is not None:
            self.quantize(scheme)

    @property
    def quantized(self) -> bool:
        """Whether fake quantization is on."""
        return len(self.weight_scale) > 0

    def normalized_matrices(self) -> list[nn.Parameter]:
        """Return the weights ``[out, ...]`` of layers that mix channels and have a batch norm behind them."""
        mixing = {node.output for node in self.graph.layers if not isinstance(node, DepthwiseConv)}
        return [self.weight[name] for name in sorted(mixing & set(self.norm))]

    def quantize(self, scheme: Scheme) -> None:
        """Turn fake quantization on, beginning from ``scheme``; batch norms become part of the weights."""
        for name in list(self.norm):
            weight, bias = self._folded(name)
            self.weight[name], self.bias[name] = nn.Parameter(weight), nn.Parameter(bias)
            del self.norm[name]
        for name, scale in scheme.weights.items():
            self.weight_scale[name] = nn.Parameter(torch.tensor(np.atleast_1d(scale), dtype=torch.float32))
        fixed = fixed_scales(self.graph)
        for name, value in scheme.activations.items():
            step = torch.tensor([value], dtype=torch.float32)
            self.activation_scale[name] = nn.Parameter(step, requires_grad=name not in fixed)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits ``[batch, classes]`` for what the source node gives, in real values.

        That is ``[batch, W', P]`` (any W' up to W) or ``[batch, P]`` for texts, ``[batch, H, W, C]`` for images and sounds,
        ``[batch, d]`` or ``[batch, T, 1, C]`` for numbers.
        """
        return self.trace(features)[self.graph.logits]

    def trace(self, features: Tensor) -> dict[str, Tensor]:
        """Return every tensor by name; see ``forward``."""
        values: dict[str, Tensor] = {}
        for node in self.graph.nodes:
            match node:
                case ProjectText() | Image() | Sound() | Standardize():
                    values[node.output] = features
                case ProjectVector():
                    # nothing before the bits learns
                    values[node.output] = self.projections[node.output](values[node.input])
                case Linear() | Conv() | DepthwiseConv():
                    values[node.output] = self._layer(node, values[node.input])
                case ProjectBoxes():
                    values[node.output] = self.projections[node.output](values[node.input], self._step(node.input))
                case Window():
                    values[node.output] = _window(values[node.input], node.width)
                case MaxPool():
                    values[node.output] = _rows(values[node.input]).amax(dim=1)
                case SumPool():
                    values[node.output] = self._fake(node.output, _rows(values[node.input]).sum(dim=1) * node.multiplier)
                case LocalMaxPool():
                    values[node.output] = _local_max_pool(node, values[node.input])
                case Add():
                    first, second = (values[name] for name in node.inputs)
                    values[node.output] = self._fake(node.output, _activated(node, first + second))
                case Lookup():
                    values[node.output] = self._fake(node.output, apply(node.curve, values[node.input]))
                case Multiply():
                    first, second = (values[name] for name in node.inputs)
                    second = second if first.dim() == second.dim() else second[:, None, None]
                    values[node.output] = self._fake(node.output, first * second)
                case Scan():
                    values[node.output] = self._fake(node.output, scan(values[node.input]))
                case Flatten():
                    values[node.output] = values[node.input].flatten(1)
                case Concat():
                    values[node.output] = torch.cat([values[name] for name in node.inputs], dim=-1)
                    values[node.output] = functional.dropout(values[node.output], self.dropout, self.training)
                case Positions():
                    table = self._fake(node.output, self.table[node.output])
                    values[node.output] = self._fake(node.output, with_positions(values[node.input], table))
                case Place():
                    values[node.output] = _rows(values[node.input])[:, node.index]
                case LayerNorm():
                    values[node.output] = self._fake(node.output, layer_norm(values[node.input], node.epsilon))
                case Attention():
                    queries, keys, means = (values[name] for name in node.inputs)
                    mixed = attention((queries, keys, means), heads=node.heads, factor=node.factor)
                    values[node.output] = self._fake(node.output, mixed)
                case Softmax():
                    pass
        return values

    def _layer(self, node: Layer, x: Tensor) -> Tensor:
        weight: Tensor = self.weight[node.output]
        if node.output in self.weight_scale:
            limit = WEIGHT_LIMIT[node.bits]
            scale = self.weight_scale[node.output].abs().reshape(-1, *[1] * (weight.dim() - 1))
            weight = learned_step(weight, scale + 1e-9, -limit, limit)
        bias = self._bias(node)
        y = functional.linear(x, weight, bias) if isinstance(node, Linear) else _conv(node, x, weight, bias)
        if node.output in self.norm:
            y = self.norm[node.output](y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        if node.output == self.graph.logits:
            return y
        if node.output in self.scanned:
            y = y.clamp(-1, 1)
        if not node.relu or node.output in self.signed or self.groups[node.output] not in self.activation_scale:
            return self._fake(node.output, functional.dropout(_activated(node, y), self.dropout, self.training))
        # fake quantization begins at 0 and ends at the ceiling: it is a relu itself
        return self._fake(node.output, functional.dropout(y, self.dropout, self.training))

    def _bias(self, node: Layer) -> Tensor | None:
        found: Tensor | None = self.bias[node.output] if node.output in self.bias else None  # noqa: SIM401 - no get()
        return found

    def _folded(self, name: str) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the layer ``name`` with its batch norm, if it has one, multiplied in."""
        weight = self.weight[name].detach()
        bias = self.bias[name].detach() if name in self.bias else weight.new_zeros(len(weight))
        if name not in self.norm:
            return weight, bias
        norm = cast(nn.BatchNorm2d, self.norm[name])
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias.detach() + (bias - norm.running_mean) * factor
        return weight * factor.reshape(-1, *[1] * (weight.dim() - 1)), shift

    def _step(self, name: str) -> Tensor | float | None:
        """Return the difference between two neighbouring values of the tensor ``name``, None where they are not rounded."""
        if name == self.graph.source.output:
            return self.graph.source.quantization.scale
        group = self.groups[name]
        return self.activation_scale[group].detach().abs() + 1e-9 if group in self.activation_scale else None

    def _fake(self, name: str, x: Tensor) -> Tensor:
        """Return ``x`` rounded to the 256 steps of tensor ``name`` when fake quantization is on, else ``x``."""
        group = self.groups[name]
        if group not in self.activation_scale:
            return x
        scale = self.activation_scale[group].abs() + 1e-9
        if group in self.scale_limits:
            scale = scale.clamp(max=self.scale_limits[group])
        return learned_step(x, scale, *steps_of(name, self.signed))

    def learned(self) -> tuple[Program, Scheme | None]:
        """Return the float program with the present weights, and the present scales if quantized."""

        def layer(node: Layer) -> Layer:
            weight, bias = self._folded(node.output)
            has_bias = node.output in self.bias or node.output in self.norm
            learned_bias = bias.cpu().numpy().copy() if has_bias else None
            return replace(node, weight=weight.cpu().numpy().copy(), bias=learned_bias)

        def updated(node: Node) -> Node:
            if isinstance(node, Positions):
                return replace(node, table=self.table[node.output].detach().numpy().copy())
            return layer(node) if isinstance(node, Linear | Conv | DepthwiseConv) else node

        nodes = tuple(map(updated, self.graph.nodes))
        scheme = None
        if self.quantized:
            scheme = Scheme(
                weights={k: v.detach().abs().cpu().numpy() + np.float32(1e-9) for k, v in self.weight_scale.items()},
                activations={
                    k: min(float(v.detach().abs()) + 1e-9, self.scale_limits.get(k, np.inf))
                    for k, v in self.activation_scale.items()
                },
            )
        return Program(nodes), scheme


def _activated(node: Layer | Add, x: Tensor) -> Tensor:
    """Return ``x`` after the relu of ``node``, if it has one."""
    if not node.relu:
        return x
    return functional.relu(x) if node.ceiling is None else x.clamp(0, node.ceiling)


def _local_max_pool(node: LocalMaxPool, x: Tensor) -> Tensor:
    top, left, bottom, right = node.padding
    x = functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=-torch.inf)
    return functional.max_pool2d(x, node.kernel, node.stride).permute(0, 2, 3, 1)


def _rows(x: Tensor) -> Tensor:
    """Return ``[batch, ..., E]`` as ``[batch, rows, E]``."""
    return x.flatten(1, -2)


def _conv(node: Conv | DepthwiseConv, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution of ``x`` ``[batch, H, W, I]``; torch's axes are exchanged without moving a value."""
    top, left, bottom, right = node.padding
    x, around = x.permute(0, 3, 1, 2), (top, left)
    if (top, left) != (bottom, right):
        x, around = functional.pad(x, (left, right, top, bottom)), (0, 0)
    if isinstance(node, Conv):
        y = functional.conv2d(x, weight.permute(0, 3, 1, 2), bias, node.stride, around)
    else:
        y = functional.conv2d(x, weight[:, None], bias, node.stride, around, groups=len(weight))
    return y.permute(0, 2, 3, 1)


def _window(x: Tensor, width: int) -> Tensor:
    before = (width - 1) // 2
    padded = functional.pad(x, (0, 0, before, width - 1 - before))
    return torch.cat([padded[:, i : i + x.shape[1]] for i in range(width)], dim=2)


def evaluate(executor: Executor, batches: Iterable[Tensor]) -> npt.NDArray[np.float32]:
    """Return float32 logits of all ``batches`` of features, in order, with dropout off."""
    was_training = executor.training
    executor.eval()
    with torch.no_grad():
        out = [executor(batch).cpu().numpy() for batch in batches]
    executor.train(was_training)
    return np.concatenate(out)
