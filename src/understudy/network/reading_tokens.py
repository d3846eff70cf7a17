"""Tokens: what operators of a ``torch.export`` graph become that see the places of a map as rows, as vision transformers do.

How people reshape, split and transpose tokens differs without end, so such operators are run on the *numbers of the values*
instead of being read: a ``Tokens`` knows for each of its values which one of the network's map it is. What computes something
then looks whether these numbers are in an order that it can read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from understudy.network.reading import BATCH, Reader, Value, convolution_of
from understudy.network.reading_layers import mul
from understudy.network.reading_parts import picked
from understudy.network.reading_values import unpadded

_FIRST, _LAST = "nchw", "nhwc"


@dataclass(frozen=True, eq=False)
class Tokens(Value):
    """Values of a map in any order.

    Attributes:
        index: in the shape that the user's code sees: of each value its number in ``[batch, places, channels]`` of the map.
        factor: what they are multiplied by; it becomes part of an attention, or a step.
    """

    index: Tensor = field(default_factory=lambda: torch.empty(0))
    factor: float = 1.0


def tokens_of(reader: Reader, x: Value) -> Tokens:
    """Return a map as tokens, in the axes that the user's code sees."""
    x = unpadded(reader, x)
    if isinstance(x, Tokens):
        return x
    if x.axes not in (_FIRST, _LAST):
        raise reader.refused(f"makes tokens of axes {x.axes!r}", advice="make them of a map, NCHW or NHWC")
    channels, rows, columns = reader.sizes(x)
    index = torch.arange(BATCH * rows * columns * channels).reshape(BATCH, rows, columns, channels)
    return Tokens(x.name, "tokens", index=index if x.axes == _LAST else index.permute(0, 3, 1, 2))


def viewed(reader: Reader, x: Value, view: Callable[[Tensor], Any]) -> Any:
    """Return what ``view``, which moves values and computes nothing, makes of ``x``: tokens, or a map or vector again."""
    tokens = tokens_of(reader, x)
    found = view(tokens.index)
    if isinstance(found, Tensor):
        return _recognized(reader, replace(tokens, index=found))
    return type(found)(_recognized(reader, replace(tokens, index=each)) for each in found)


def _recognized(reader: Reader, x: Tokens) -> Value:
    channels, places = shape_of(reader, x)
    index = x.index
    if x.factor != 1 or len(index) != BATCH:
        return x
    if index.dim() == 2 and index.shape[1] == channels and channels > 1:  # one place, such as a class token
        place = int(index[0, 0]) // channels
        wanted = (torch.arange(BATCH)[:, None] * places + place) * channels + torch.arange(channels)
        return reader.add("place", (x,), "nf", place=place) if torch.equal(index, wanted) else x
    image = Value(x.name, _FIRST)
    whole = tokens_of(reader, image).index
    if index.shape != whole.shape:
        return x
    order = index[0, :, 0, 0]
    if int(order.max()) >= channels or not torch.equal(index, whole[:, order]):
        return x
    return image if torch.equal(order, torch.arange(channels)) else picked(reader, image, order)  # they were shuffled


def shape_of(reader: Reader, x: Value) -> tuple[int, int]:
    """Return channels and places of the map that ``x`` is made of."""
    channels, rows, columns = reader.sizes(x)
    return channels, rows * columns


def settled(reader: Reader, x: Value) -> Tokens:
    """Return ``x`` as tokens of a map that has no other channels, each value once, and no factor.

    Raises:
        InputError: a part of the places, values that are repeated, or a part of the channels of what is no linear layer.
    """
    x = _narrowed(reader, tokens_of(reader, x))
    if x.factor == 1:
        return x
    scaled = mul(reader, {"self": Value(x.name, _FIRST), "other": x.factor}, ())
    return replace(x, name=scaled.name, factor=1.0)


def _narrowed(reader: Reader, x: Tokens) -> Tokens:
    channels, places = shape_of(reader, x)
    used = torch.bincount((x.index % channels).flatten(), minlength=channels).nonzero().flatten()
    if x.index.numel() != BATCH * places * len(used) or int(torch.bincount(x.index.flatten()).max()) > 1:
        raise reader.refused(
            "takes a part of the tokens, or repeats them",
            advice="read one token, as x[:, 0], or all of them, as in x.mean(1)",
        )
    if len(used) == channels:
        return x
    numbers = torch.empty(channels, dtype=torch.long)
    numbers[used] = torch.arange(len(used))
    place, channel = x.index // channels, numbers[x.index % channels]
    return replace(x, name=selected(reader, x.name, used), index=place * len(used) + channel)


def selected(reader: Reader, name: str, channels: Tensor) -> str:
    """Return the value that has ``channels`` of the value ``name``, in this order: of a linear layer some of its rows."""
    source = Value(name, _FIRST)
    if torch.equal(channels, torch.arange(reader.sizes(source)[0])):
        return name
    made = reader.made(name)
    layer: Any = reader.layers.get(name)
    if made.kind != "conv" or layer.groups != 1 or any(made.padding):
        raise reader.refused(
            f"takes a part of the channels of {made.kind!r}", advice="split what a linear layer gives, and nothing behind it"
        )
    bias = None if layer.bias is None else layer.bias.detach()[channels]
    chosen = convolution_of(layer.weight.detach()[channels], bias, stride=made.stride)
    return reader.add("conv", (Value(made.inputs[0], _FIRST),), _FIRST, layer=chosen, stride=made.stride).name


def places_and_channels(reader: Reader, x: Tokens, *, last: int) -> tuple[Tensor, Tensor] | None:
    """Return places ``[rows]`` and channels ``[last]`` where each row of ``last`` values is of one place; else None."""
    channels, _ = shape_of(reader, x)
    rows = x.index.reshape(-1, last)
    place, channel = rows // channels, rows % channels
    if bool((place != place[:, :1]).any()) or bool((channel != channel[:1]).any()):
        return None
    return place[:, 0], channel[0]
