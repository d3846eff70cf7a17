"""Functions of one number: a line of words in postfix order, such as ``x x 3 add 0 6 clamp mul 6 div`` for hardswish.

One line is what is stored with a network and with a program, what two functions are put together from, and what torch computes
with gradients. A table of 256 values follows from it once the scales on both sides are known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from understudy.program.ops import Quantization
from understudy.program.real_curves import VALUE

Int8Array = npt.NDArray[np.int8]

_Function = Callable[..., Tensor]
FUNCTIONS: dict[str, tuple[int, _Function]] = {
    "add": (2, torch.add),
    "sub": (2, torch.sub),
    "mul": (2, torch.mul),
    "div": (2, torch.div),
    "clamp": (3, torch.clamp),
    "relu": (1, functional.relu),
    "sigmoid": (1, torch.sigmoid),
    "hardsigmoid": (1, functional.hardsigmoid),
    "silu": (1, functional.silu),
    "hardswish": (1, functional.hardswish),
    "tanh": (1, torch.tanh),
    "gelu": (1, functional.gelu),
    "gelu_tanh": (1, lambda x: functional.gelu(x, approximate="tanh")),
    "softplus": (1, functional.softplus),
    "softsign": (1, functional.softsign),
    "mish": (1, functional.mish),
    "selu": (1, functional.selu),
    "elu": (2, lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))),
    "celu": (2, lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0) / alpha))),
    "leaky_relu": (2, lambda x, slope: torch.where(x > 0, x, slope * x)),
    "abs": (1, torch.abs),
    "exp": (1, torch.exp),
    "square": (1, torch.square),
}
"""Word to how many values it takes, and what it makes of them."""


def apply(curve: str, x: Tensor) -> Tensor:
    """Return ``curve`` of every value of ``x``, with gradients.

    Raises:
        ValueError: a word that is no number and no function, or too few values before one.
    """
    stack: list[Tensor] = []
    for word in curve.split():
        if word == VALUE:
            stack.append(x)
        elif word in FUNCTIONS:
            count, function = FUNCTIONS[word]
            if len(stack) < count:
                raise ValueError(f"a curve gives {word!r} {count} values: received curve={curve!r}")
            arguments = stack[len(stack) - count :]
            stack = [*stack[: len(stack) - count], function(*arguments)]
        else:
            stack.append(torch.tensor(float(word), dtype=x.dtype, device=x.device))
    if len(stack) != 1:
        raise ValueError(f"a curve leaves one value: received curve={curve!r}")
    return stack[0]


def composed(outer: str, inner: str) -> str:
    """Return the curve ``outer(inner(x))``."""
    return " ".join(inner if word == VALUE else word for word in outer.split())


def table_of(curve: str, source: Quantization, target: Quantization) -> Int8Array:
    """Return int8 ``[256]``: what ``curve`` makes of every int8 value from -128 on, computed in float64; spec/program.md 19."""
    steps = np.arange(-128, 128, dtype=np.float64) - source.zero_point
    with torch.no_grad():
        real = apply(curve, torch.from_numpy(steps * source.scale)).numpy()
    found: Int8Array = np.clip(np.rint(real / target.scale) + target.zero_point, -128, 127).astype(np.int8)
    return found
