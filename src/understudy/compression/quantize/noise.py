"""Where a program loses what quantization costs: signal-to-noise of each layer, float executor against integer interpreter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from understudy.program.executor import Executor, Scheme
from understudy.program.groups import quantization_groups
from understudy.program.interpreter import Inputs, tensors
from understudy.program.ops import Program

BATCH = 64


@dataclass(frozen=True)
class LayerNoise:
    """What quantization does to one layer, in decibels: ten times the decimal logarithm of signal power over noise power.

    Attributes:
        layer: the name of its output.
        bits: of its weights.
        per_channel: a weight scale for each channel, else one for the layer.
        output_db: its output in the integer program against the float one; what earlier layers lost is in it. None without
            noise or without signal.
        alone_db: the logits of the float program in which this layer alone, weights and output, is rounded. None likewise.
    """

    layer: str
    bits: int
    per_channel: bool
    output_db: float | None
    alone_db: float | None


def layer_noise(program: Program, integer: Program, inputs: Inputs) -> tuple[LayerNoise, ...]:
    """Return the noise of every layer with weights, in order.

    Args:
        program: the float program.
        integer: the integer program that was made of it: the same nodes.
        inputs: what both read; see ``interpreter.run``.
    """
    groups = quantization_groups(program)
    whole = Executor(program).eval()
    alone = {}
    for layer in integer.layers:
        assert layer.weight_scale is not None
        group = groups[layer.output]
        # the executor does not round logits; below they are rounded as the integer program does
        activations = {} if layer.output == program.logits else {group: integer.quantization[layer.output].scale}
        alone[layer.output] = Executor(program, scheme=Scheme({layer.output: layer.weight_scale}, activations)).eval()
    powers: dict[str, list[float]] = {name: [0.0] * 4 for name in alone}
    for begin in range(0, len(inputs), BATCH):
        steps = tensors(integer, inputs[begin : begin + BATCH])
        real = {name: _real(integer, name, value) for name, value in steps.items()}
        features = torch.from_numpy(real[integer.source.output])
        with torch.no_grad():
            exact = {name: value.numpy() for name, value in whole.trace(features).items()}
            for name, executor in alone.items():
                rounded = executor(features).numpy()
                if name == program.logits:
                    rounded = _rounded(integer, name, rounded)
                found = (*_powers(exact[name], real[name]), *_powers(exact[program.logits], rounded))
                powers[name] = [before + more for before, more in zip(powers[name], found, strict=True)]
    return tuple(
        LayerNoise(n.output, n.bits, n.per_channel, _decibels(*powers[n.output][:2]), _decibels(*powers[n.output][2:]))
        for n in integer.layers
    )


def _real(integer: Program, name: str, steps: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    quantization = integer.quantization[name]
    return (steps.astype(np.float32) - quantization.zero_point) * np.float32(quantization.scale)


def _rounded(integer: Program, name: str, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    quantization = integer.quantization[name]
    steps = np.clip(np.rint(values / quantization.scale) + quantization.zero_point, -128, 127)
    return _real(integer, name, steps.astype(np.int8))


def _powers(signal: npt.NDArray[np.float32], rounded: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Return the energies of ``signal`` and of what ``rounded`` differs from it by."""
    exact = signal.astype(np.float64)
    return float((exact**2).sum()), float(((rounded - exact) ** 2).sum())


def _decibels(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None
