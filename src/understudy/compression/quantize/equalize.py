"""Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization", section 4.1): the same float function, better ranges.

A relu passes positive factors through: ``relu(s x) = s relu(x)``. So what a channel loses in its layer's row may be given back
in the columns that read it, and each channel can have equal ranges in both places, which one scale for each tensor then suits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from understudy.program.ops import (
    Concat,
    Conv,
    DepthwiseConv,
    Layer,
    Linear,
    MaxPool,
    Program,
    SumPool,
    Window,
    inputs_of,
)

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
ROUNDS = 20
ENOUGH = 1e-3
"""Largest logarithm of a factor at which the rounds end."""
ELSEWHERE = -1
"""In a reader's columns: one that comes from another layer."""


@dataclass(frozen=True, eq=False)
class _Reader:
    """A layer that reads channels of another one; ``origin`` is the channel that each of its input columns comes from."""

    layer: str
    origin: Int64Array


def equalizable(program: Program) -> tuple[str, ...]:
    """Return the layers whose channels can be scaled against what reads them."""
    return tuple(layer.output for layer in program.layers if _readers(program, layer))


def equalized(program: Program) -> Program:
    """Return a float program that computes what ``program`` does, with equal ranges of each channel around its relu."""
    chains = {layer.output: _readers(program, layer) for layer in program.layers}
    layers = {layer.output: layer for layer in program.layers}
    for _ in range(ROUNDS):
        largest = 0.0
        for name, readers in chains.items():
            if readers:
                factors = _factors(layers[name], [(layers[r.layer], r.origin) for r in readers])
                layers[name] = _divided(layers[name], factors)
                for reader in readers:
                    layers[reader.layer] = _multiplied(layers[reader.layer], factors, reader.origin)
                largest = max(largest, float(np.abs(np.log(factors)).max()))
        if largest < ENOUGH:
            break
    return replace(program, nodes=tuple(layers.get(node.output, node) for node in program.nodes))


def _readers(program: Program, layer: Layer) -> tuple[_Reader, ...]:
    """Return what reads the channels of ``layer``; nothing where they cannot be scaled."""
    if not layer.relu or layer.ceiling is not None or layer.output == program.logits:
        return ()
    origin: dict[str, Int64Array] = {layer.output: np.arange(len(layer.weight))}
    shapes = program.shapes()
    readers: list[_Reader] = []
    for node in program.nodes:
        if not any(name in origin for name in inputs_of(node)):
            continue
        match node:
            case Linear() | Conv() | DepthwiseConv():
                readers.append(_Reader(node.output, origin[node.input]))
            case Window():
                origin[node.output] = np.tile(origin[node.input], node.width)
            case MaxPool() | SumPool():
                origin[node.output] = origin[node.input]
            case Concat():
                parts = [origin.get(name, np.full(shapes[name][-1], ELSEWHERE)) for name in node.inputs]
                origin[node.output] = np.concatenate(parts)
            case _:
                return ()  # anything else need not pass a factor through
    return tuple(readers)


def _factors(layer: Layer, readers: list[tuple[Layer, Int64Array]]) -> Float32Array:
    """Return ``sqrt(r1 / r2)`` ``[channels]``, equation 11; r1, r2: a channel's largest weights here and where it is read."""
    here = np.abs(layer.weight).reshape(len(layer.weight), -1).max(axis=1)
    there = np.zeros(len(here), np.float32)
    for reader, origin in readers:
        columns = np.abs(_columns_first(reader)).reshape(len(origin), -1).max(axis=1)
        known = origin != ELSEWHERE
        np.maximum.at(there, origin[known], columns[known])
    alive = (here > 0) & (there > 0)
    factors = np.ones(len(here), np.float32)
    factors[alive] = np.sqrt(here[alive] / there[alive])
    return factors


def _columns_first(layer: Layer) -> Float32Array:
    """Return the weights of ``layer`` with its input channels as axis 0."""
    weight = layer.weight.astype(np.float32)
    return weight if isinstance(layer, DepthwiseConv) else np.moveaxis(weight, -1, 0)


def _divided(layer: Layer, factors: Float32Array) -> Layer:
    """Return ``layer`` with its outputs divided by ``factors`` ``[channels]``."""
    weight = layer.weight / factors.reshape(-1, *[1] * (layer.weight.ndim - 1))
    return replace(
        layer,
        weight=weight.astype(np.float32),
        bias=None if layer.bias is None else (layer.bias / factors).astype(np.float32),
    )


def _multiplied(layer: Layer, factors: Float32Array, origin: Int64Array) -> Layer:
    """Return ``layer`` with its inputs multiplied by the ``factors`` of the channels that they come from."""
    columns = np.where(origin == ELSEWHERE, np.float32(1), factors[origin]).astype(np.float32)
    if isinstance(layer, DepthwiseConv):
        columns = columns.reshape(-1, 1, 1)
    return replace(layer, weight=(layer.weight * columns).astype(np.float32))
