"""Functions of one number without torch, for what computes them in real numbers: the reference, and files in float.

Every word of ``curves.py`` is put together from a dozen primitives, which each runtime has as operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Value = TypeVar("Value")
_FARTHEST, _STEP = 64.0, 1 / 64
VALUE = "x"
"""The word of a curve that stands for its number."""
_ERF = np.frompyfunc(math.erf, 1, 1)


def _gelu(x: Float64Array) -> Float64Array:
    half: Float64Array = 0.5 * x * (1 + np.asarray(_ERF(x / math.sqrt(2)), np.float64))
    return half


PRIMITIVES: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, np.add),
    "sub": (2, np.subtract),
    "mul": (2, np.multiply),
    "div": (2, np.divide),
    "max": (2, np.maximum),
    "min": (2, np.minimum),
    "abs": (1, np.abs),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "tanh": (1, np.tanh),
    "sigmoid": (1, lambda x: 0.5 + 0.5 * np.tanh(0.5 * x)),
    "gelu": (1, _gelu),
}
"""What a runtime must offer: how many values it takes, and how NumPy computes it."""
_EXPANDED: dict[str, tuple[int, str]] = {
    "clamp": (3, "a b max c min"),
    "relu": (1, "a 0 max"),
    "hardsigmoid": (1, "a 3 add 0 6 clamp 6 div"),
    "silu": (1, "a a sigmoid mul"),
    "hardswish": (1, "a a hardsigmoid mul"),
    "gelu_tanh": (1, "a 0.5 mul a a a mul a mul 0.044715 mul add 0.7978845608028654 mul tanh 1 add mul"),
    "softplus": (1, "a 0 max 0 a abs sub exp 1 add log add"),
    "softsign": (1, "a a abs 1 add div"),
    "mish": (1, "a a softplus tanh mul"),
    "elu": (2, "a 0 max a 0 min exp 1 sub b mul add"),
    "celu": (2, "a 0 max a 0 min b div exp 1 sub b mul add"),
    "selu": (1, "a 1.6732632423543772 elu 1.0507009873554805 mul"),
    "leaky_relu": (2, "a 0 max a 0 min b mul add"),
    "square": (1, "a a mul"),
}
"""Other words of ``curves.py``: how many values they take, called a, b and c, and what they make of them."""


def traced(curve: str, x: Value, apply: Callable[[str, Sequence[Value | float]], Value]) -> Value | float:
    """Return ``curve`` of ``x`` as ``apply`` builds it: it gets the name of a primitive, and its arguments.

    Raises:
        ValueError: a word that is no number and no function.
    """
    return _value(curve.split(), {VALUE: x}, apply)


def _value(
    words: Sequence[str], names: dict[str, Value | float], apply: Callable[[str, Sequence[Value | float]], Value]
) -> Value | float:
    stack: list[Value | float] = []

    def taken(count: int) -> list[Value | float]:
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    for word in words:
        if word in names:
            stack.append(names[word])
        elif word in _EXPANDED:
            count, inner = _EXPANDED[word]
            stack.append(_value(inner.split(), dict(zip("abc", taken(count), strict=False)), apply))
        elif word in PRIMITIVES:
            count, function = PRIMITIVES[word]
            values = taken(count)
            known = all(isinstance(value, float) for value in values)
            stack.append(float(function(*values)) if known else apply(word, values))
        else:
            stack.append(float(word))
    [value] = stack
    return value


def curve_of(curve: str, x: Float64Array) -> Float64Array:
    """Return ``curve`` of every value of ``x``."""
    with np.errstate(over="ignore"):
        found = traced(curve, x, lambda name, values: PRIMITIVES[name][1](*values))
    return np.broadcast_to(np.asarray(found, np.float64), x.shape)


@cache
def falls_below_zero(curve: str, *, signed: bool) -> bool:
    """Return whether ``curve`` has negative values; of values from 0 on where its input is not ``signed``."""
    x = np.arange(-_FARTHEST if signed else 0.0, _FARTHEST, _STEP)
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool((curve_of(curve, x) < -1e-6).any())
