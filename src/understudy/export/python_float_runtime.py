"""The functions that a Python model in float is made of, beside those of ``python_runtime`` that it shares.

They follow ``spec/program.md`` 27. Tensors are float32.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def unpack(data: str, rows: int, columns: int) -> tuple[Array, Any, Array]:
    """Return the integers of the weights [columns, rows], the biases [rows] or 0, and what an integer is worth."""
    raw = np.frombuffer(base64.b85decode("".join(data.split())), np.uint8)
    weight, numbers = raw[: rows * columns].view(np.int8), raw[rows * columns :].view("<f4")
    biases = rows if len(numbers) > rows else 0
    return weight.reshape(rows, columns).T.astype(np.float32), numbers[:biases] if biases else 0, numbers[biases:]


def real(steps: Array, zero: int, scale: float) -> Array:
    """Return the real values of integers (program 1)."""
    values: Array = (steps - zero).astype(np.float32) * np.float32(scale)
    return values


def linear(x: Array, layer: tuple[Array, Any, Array], least: float, largest: float) -> Array:
    """Return a layer's output within its range (program 3)."""
    weight, bias, scale = layer
    values: Array = np.clip(x @ weight * scale + bias, least, largest)
    return values


def depthwise(x: Array, layer: tuple[Array, Any, Array], least: float, largest: float) -> Array:
    """Return the output of a layer that keeps channels apart, of what ``places`` gives (program 11)."""
    weight, bias, scale = layer
    seen = x.reshape(*x.shape[:2], *weight.shape)
    values: Array = np.clip((seen * weight).sum(2) * scale + bias, least, largest)
    return values


def scan(x: Array) -> Array:
    """Return the states of gates and candidates [steps, 1, 2 * columns], after each step (program 21)."""
    gates, candidates = np.split(x, 2, -1)
    states = np.empty_like(gates)
    state = np.zeros_like(gates[0])
    for step, inflow in enumerate((gates + 1) / 2):
        state = state + inflow * (candidates[step] - state)
        states[step] = state
    return states


def gelu(x: Array) -> Array:
    """Return x times the chance that a normal number is below it, to 1e-6: Abramowitz and Stegun 7.1.26."""
    t = 1 / (1 + 0.3275911 * 0.5**0.5 * np.abs(x))
    above = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    values: Array = np.maximum(x, 0) - 0.5 * np.abs(x) * above * np.exp(-0.5 * x * x)
    return values
