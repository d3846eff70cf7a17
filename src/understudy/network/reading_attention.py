"""Attention, whole or written out: what operators of a ``torch.export`` graph become, see ``reading_tokens.py``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from understudy.network.reading import BATCH, Reader, Value
from understudy.network.reading_tokens import Tokens, selected, shape_of, tokens_of
from understudy.network.reading_values import Arguments, Shape


@dataclass(frozen=True, eq=False)
class Scores(Value):
    """Products of queries and keys, ``[..., queries, keys]``, that wait for the values.

    Attributes:
        queries: ``[..., places, channels]``.
        keys: the same.
        factor: what they are multiplied by.
        weighted: whether a softmax was taken.
    """

    queries: Tokens | None = None
    keys: Tokens | None = None
    factor: float = 1.0
    weighted: bool = False


@dataclass(frozen=True, eq=False)
class _Heads:
    """Places ``[groups, places]`` of tokens ``[..., places, channels]``, and each group's head and channels."""

    place: Tensor
    channel: Tensor
    example: Tensor


def scaled_dot_product_attention(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Attention of one call."""
    if given["attn_mask"] is not None or given["is_causal"] or given["dropout_p"] or given.get("enable_gqa"):
        raise reader.refused("has a mask, or dropout although the network is not training")
    queries, keys, values = (_of_heads(reader, given[name]) for name in ("query", "key", "value"))
    factor = given["scale"] if given.get("scale") is not None else 1 / math.sqrt(queries.index.shape[-1])
    return _attention(reader, queries, keys, values, factor=factor)


def product(reader: Reader, first: Any, second: Any) -> Value:
    """Queries times keys, or weights times values."""
    if isinstance(first, Scores):
        if not first.weighted:
            raise reader.refused("multiplies scores that no softmax was taken of")
        assert first.queries is not None
        assert first.keys is not None
        return _attention(reader, first.queries, first.keys, _of_heads(reader, second), factor=first.factor)
    queries, keys = _of_heads(reader, first), _of_heads(reader, second)
    return Scores("", "scores", queries=queries, keys=replace(keys, index=keys.index.transpose(-2, -1)))


def scaled_scores(reader: Reader, scores: Scores, factor: Any) -> Scores:
    """Scores times a number."""
    number = torch.as_tensor(factor)
    if scores.weighted or number.numel() != 1:
        raise reader.refused("multiplies scores with more than one number")
    return replace(scores, factor=scores.factor * float(number))


def weights(reader: Reader, scores: Scores, dim: int) -> Scores:
    """The softmax of scores."""
    assert scores.queries is not None
    if scores.weighted or dim not in (-1, scores.queries.index.dim() - 1):
        raise reader.refused("takes a softmax over something else than the keys")
    return replace(scores, weighted=True)


def _of_heads(reader: Reader, x: Any) -> Tokens:
    if not isinstance(x, Value) or isinstance(x, Scores):
        raise reader.refused("multiplies matrices that are no queries, keys or values", advice="use a linear layer")
    return tokens_of(reader, x)


def _attention(reader: Reader, queries: Tokens, keys: Tokens, values: Tokens, *, factor: float) -> Value:
    found = [_heads(reader, x) for x in (queries, keys, values)]
    groups = {len(each.place) for each in found}
    if (
        len(groups) > 1
        or any(not torch.equal(each.example, found[0].example) for each in found)
        or not torch.equal(found[1].place, found[2].place)
    ):
        raise reader.refused("mixes tokens of several maps, or of different places")
    if values.index.shape[-1] != queries.index.shape[-1]:
        raise reader.refused("has values of another width than queries", advice="give all three the same width")
    heads = groups.pop() // BATCH
    names = [
        Value(selected(reader, x.name, each.channel[each.example == 0].flatten()), "nchw")
        for x, each in zip((queries, keys, values), found, strict=True)
    ]
    factor *= queries.factor * keys.factor
    value = reader.add("attention", tuple(names), "nchw", heads=heads, factor=factor)
    width = values.index.shape[-1]
    head = torch.arange(heads * BATCH)
    for example in range(BATCH):
        head[found[0].example == example] = torch.arange(heads)
    index = (found[0].place * heads * width + head[:, None] * width)[:, :, None] + torch.arange(width)
    return Tokens(value.name, "tokens", index=index.reshape(*queries.index.shape[:-1], width), factor=values.factor)


def _heads(reader: Reader, x: Tokens) -> _Heads:
    channels, places = shape_of(reader, x)
    rows, width = x.index.shape[-2:]
    groups = x.index.reshape(-1, rows, width)
    place, channel = groups // channels, groups % channels
    example = place[:, 0, 0] // places
    every = (place[:, :, 0].sort(dim=1).values == example[:, None] * places + torch.arange(places)) if rows == places else None
    if (
        every is None
        or not bool(every.all())
        or bool((place != place[:, :, :1]).any())
        or bool((channel != channel[:, :1]).any())
        or not torch.equal(channel[example == 0], channel[example == BATCH - 1])
    ):
        raise reader.refused("attends to a part of the tokens, as windows do", advice="let every token attend to all of them")
    return _Heads(place[:, :, 0], channel[:, 0], example)
