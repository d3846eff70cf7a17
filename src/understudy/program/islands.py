"""The reference of float islands in NumPy, and which of them a program has; ``spec/program.md`` 24 and 25.

It computes in float64, and is rounded once, so that it is the same on every machine; runtimes compute in float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from understudy.program.ops import Program, Quantization
from understudy.program.tokens import Attention, LayerNorm, label

Int8Array = npt.NDArray[np.int8]
ISLAND_STEPS = 4
"""Of a file with float islands, logits may differ by more steps on 0.5 % of the rows, or on one, and so may labels ..."""
ISLAND_LIMIT = 32
"""... and by more than these on none: a value near a tie is rounded otherwise, and layers behind it make that several steps."""
Float64Array = npt.NDArray[np.float64]
Tensor = Int8Array | Float64Array


def islands_of(program: Program) -> tuple[str, ...]:
    """Return what the float islands of ``program`` are and where they sit, in order; nothing for an exact program."""
    return tuple(label(node) for node in program.nodes if isinstance(node, LayerNorm | Attention))


def layer_norm(node: LayerNorm, x: Tensor, source: Quantization) -> Float64Array:
    """Return real numbers ``[batch, ..., C]``, not rounded yet; spec/program.md 24."""
    real = _real(x, source)
    centred = real - real.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    normed: Float64Array = centred / np.sqrt(variance + node.epsilon)
    return normed


def attention(
    node: Attention,
    inputs: tuple[Tensor, Tensor, Tensor],
    sources: tuple[Quantization, Quantization, Quantization],
) -> Float64Array:
    """Return real numbers of the shape of the values, ``[batch, H, W, heads * V]``, not rounded yet; spec/program.md 25."""

    def heads(x: Tensor, quantization: Quantization) -> Float64Array:
        """Return ``[batch, heads, places, channels of a head]``."""
        real: Float64Array = _real(x, quantization).reshape(len(x), -1, node.heads, x.shape[-1] // node.heads)
        return real.transpose(0, 2, 1, 3)

    queries, keys, values = (heads(x, each) for x, each in zip(inputs, sources, strict=True))
    scores = (queries @ keys.transpose(0, 1, 3, 2)) * node.factor
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed: Float64Array = (weights @ values).transpose(0, 2, 1, 3).reshape(inputs[2].shape)
    return mixed


def _real(x: Tensor, quantization: Quantization) -> Float64Array:
    real: Float64Array = (x.astype(np.float64) - quantization.zero_point) * quantization.scale
    return real
