"""Nodes over tokens in torch, with gradients; ``tokens.py`` says what they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def with_positions(x: Tensor, table: Tensor) -> Tensor:
    """Return ``x`` ``[batch, H, W, C]`` plus ``table`` ``[rows, C]``, with places of zeros before where it has more rows."""
    batch, height, width, channels = x.shape
    lead = len(table) - height * width
    if lead == 0:
        return x + table.reshape(height, width, channels)
    rows = torch.cat([x.new_zeros(batch, lead, channels), x.flatten(1, 2)], dim=1)
    return (rows + table)[:, :, None]


def layer_norm(x: Tensor, epsilon: float) -> Tensor:
    """Return ``x`` ``[batch, ..., C]`` less its mean, over its deviation."""
    return functional.layer_norm(x, x.shape[-1:], eps=epsilon)


def attention(inputs: tuple[Tensor, Tensor, Tensor], *, heads: int, factor: float) -> Tensor:
    """Return ``[batch, H, W, heads * V]`` for queries, keys and values ``[batch, H, W, channels]``."""
    split = (x.reshape(len(x), -1, heads, x.shape[-1] // heads).transpose(1, 2) for x in inputs)
    queries, keys, values = split
    weights = (queries @ keys.transpose(2, 3) * factor).softmax(dim=-1)
    mixed: Tensor = weights @ values
    return mixed.transpose(1, 2).reshape(inputs[2].shape)
