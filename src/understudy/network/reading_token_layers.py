"""Layers and sums over tokens: what operators of a ``torch.export`` graph become, and their table; ``reading_tokens.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from understudy.network.reading import BATCH, NORMALIZED, Reader, Value, convolution_of, scaling, shape_of_node
from understudy.network.reading_attention import Scores, product, scaled_dot_product_attention, scaled_scores, weights
from understudy.network.reading_curves import ACTIVATIONS
from understudy.network.reading_steps import HANDLERS
from understudy.network.reading_tokens import Tokens, places_and_channels, settled, shape_of, tokens_of, viewed
from understudy.network.reading_values import CHANNELS_LAST, POINTS, Arguments, Handler, Shape, plain
from understudy.network.steps import Positions

_KEEPS = frozenset(
    ("contiguous", "clone", "alias", "detach", "to", "_to_copy", "lift_fresh_copy", "dropout", "feature_dropout")
)
_RESHAPED = frozenset(("flatten", "view", "reshape", "_unsafe_view", "unflatten", "squeeze", "unsqueeze", "expand"))
_TURNED = frozenset(("permute", "transpose", "t", "movedim"))
_PARTS = frozenset(("select", "slice", "chunk", "split", "split_with_sizes", "unbind"))
_VIEWS = _KEEPS | _RESHAPED | _TURNED | _PARTS
"""What moves values and computes nothing, once a network is trained."""
_MOVED = frozenset(("transpose", "unflatten", "movedim"))
_BEGIN = frozenset(("flatten", "view", "reshape", *_MOVED))
"""What makes tokens of a map."""


def reads_tokens(word: str, values: list[Any], given: Any) -> bool:
    """Return whether the operator ``word`` that makes ``given``, of such a shape, of ``values`` is read here."""
    if any(isinstance(each, Tokens | Scores) for each in values):
        return True
    if not values or not isinstance(values[0], Value) or values[0].axes not in ("nchw", "nhwc", *POINTS):
        return False
    x = values[0]
    if word in ("linear", "layer_norm"):
        return x.axes == "nhwc" or (x.axes in POINTS and word == "layer_norm")
    if x.axes in POINTS or word not in _BEGIN:
        return False
    return word in _MOVED or (given.dim() > 2 and not (given.dim() == 4 and x.name == NORMALIZED))


def token_step(reader: Reader, word: str, node: Any, arguments: Any, given: Arguments) -> Any:
    """Return what the operator ``word`` of ``node`` gives."""
    name = word.removesuffix("_")
    scores = [each for each in node_values(arguments) if isinstance(each, Scores)]
    if scores:
        return _of_scores(reader, name, given, scores[0])
    if name in _VIEWS:
        if given.get("train"):
            raise reader.refused("drops values although the network is not training", advice="use nn.Dropout")
        source = next(each for each in node_values(arguments) if isinstance(each, Value))
        return viewed(reader, source, lambda index: _moved(name, node, index, arguments[1:]))
    handler = _HANDLERS.get(name)
    if handler is not None:
        return handler(reader, given, shape_of_node(node))
    if name in HANDLERS and name in _POINTWISE:
        return _pointwise(reader, name, given, tuple(node.meta["val"].shape))
    raise reader.refused("is not known for tokens")


def node_values(arguments: Any) -> list[Any]:
    """Return the values among ``arguments``, those in lists too."""
    found: list[Any] = []
    for each in arguments:
        found += list(each) if isinstance(each, list | tuple) else [each]
    return found


def _moved(name: str, node: Any, index: Tensor, rest: Any) -> Any:
    if name in _KEEPS:
        return index
    return index.reshape(*rest) if name in ("view", "_unsafe_view") else node.target(index, *rest, **node.kwargs)


def _of_scores(reader: Reader, name: str, given: Arguments, scores: Scores) -> Value:
    if name in ("softmax", "_softmax"):
        return weights(reader, scores, given["dim"])
    if name in _KEEPS:
        return scores
    if name in ("matmul", "bmm"):
        first, second = given["self"], given.get("other", given.get("mat2"))
        return product(reader, first, second)
    if name in ("mul", "div"):
        other = given["other"] if isinstance(given["self"], Scores) else given["self"]
        if not isinstance(other, Value):
            return scaled_scores(reader, scores, other if name == "mul" else 1 / other)
    raise reader.refused(
        "changes the scores of an attention", advice="use scores of queries and keys as they are, times a number"
    )


def matmul(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A linear layer that is written as a product with a constant, or queries times keys."""
    first, second = given["self"], given.get("other", given.get("mat2"))
    if isinstance(second, Tensor) and second.dim() == 2:
        return linear(reader, {"input": first, "weight": second.T, "bias": None}, shape)
    return product(reader, first, second)


def linear(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A linear layer over each token, over patches of an image, or over all tokens at once."""
    x, weight = tokens_of(reader, given["input"]), given["weight"]
    x = settled(reader, x)
    channels, places = shape_of(reader, x)
    width = weight.shape[1]
    if x.index.shape == (BATCH, places * channels) and places > 1:
        flat = reader.add("flatten", (x,), "nf")
        columns = (x.index[0] % channels) * places + x.index[0] // channels
        over: Value = HANDLERS["linear"](reader, {**given, "input": replace(flat, columns=columns)}, shape)
        return over
    found = places_and_channels(reader, x, last=width)
    if found is None:
        return _patches(reader, x, weight, given["bias"])
    place, channel = found
    moved = torch.empty_like(weight)
    moved[:, channel] = weight
    value = reader.add("conv", (x,), "nchw", layer=convolution_of(moved[:, :, None, None], given["bias"]))
    outputs = len(weight)
    index = place[:, None] * outputs + torch.arange(outputs)
    return Tokens(value.name, "tokens", index=index.reshape(*x.index.shape[:-1], outputs))


def _patches(reader: Reader, x: Tokens, weight: Tensor, bias: Tensor | None) -> Value:
    """Return a linear layer over square patches of a map as the convolution that it is."""
    channels, rows, columns = reader.sizes(x)
    outputs, width = weight.shape
    size = round((width / channels) ** 0.5)
    if size * size * channels != width or rows % size or columns % size or x.index.dim() != 3:
        raise reader.refused("reads values of several tokens", advice="read each token, or patches of an image, or all tokens")
    first = x.index[0, 0]
    row, column, channel = first // channels // columns, first // channels % columns, first % channels
    begin = (torch.arange(rows // size)[:, None] * size * columns + torch.arange(columns // size) * size).flatten() * channels
    wanted = torch.arange(BATCH)[:, None, None] * rows * columns * channels + begin[:, None] + first
    if x.index.shape != wanted.shape or not torch.equal(x.index, wanted):
        raise reader.refused("reads values of several tokens", advice="read each token, or patches of an image, or all tokens")
    kernel = weight.new_zeros(outputs, channels, size, size)
    kernel[:, channel, row, column] = weight
    value = reader.add("conv", (x,), "nchw", layer=convolution_of(kernel, bias, stride=size), stride=size)
    index = torch.arange(BATCH * wanted.shape[1] * outputs).reshape(BATCH, -1, outputs)
    return Tokens(value.name, "tokens", index=index)


def addmm(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A linear layer, as some modules write it."""
    if isinstance(given["mat2"], Value) or isinstance(given["self"], Value):
        raise reader.refused("multiplies two values of the network")
    return linear(reader, {"input": given["mat1"], "weight": given["mat2"].T, "bias": given["self"]}, shape)


def layer_norm(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A layer norm over the channels of each token, or of a vector: a float island, and numbers for each channel."""
    given_value = given["input"]
    if isinstance(given_value, Value) and given_value.axes in CHANNELS_LAST:
        x: Value = plain(reader, given_value)
        channel, count = torch.arange(shape[-1]), shape[-1]
    else:
        x = settled(reader, given_value)
        found = places_and_channels(reader, x, last=shape[-1])
        count = shape_of(reader, x)[0]
        channel = torch.empty(0) if found is None else found[1]
    if len(given["normalized_shape"]) != 1 or len(channel) != count:
        raise reader.refused("norms something else than all channels of a token", advice="use nn.LayerNorm(channels)")
    axes = "nf" if x.axes in CHANNELS_LAST else "nchw"
    value = reader.add("standardize", (x,), axes, epsilon=float(given["eps"]))
    if given["weight"] is not None or given["bias"] is not None:
        scale = torch.ones(count) if given["weight"] is None else given["weight"]
        shift = torch.zeros(count) if given["bias"] is None else given["bias"]
        numbers = torch.empty(2, count)
        numbers[:, channel] = torch.stack([scale, shift])
        value = reader.add("norm", (value,), axes, layer=scaling(*numbers))
    return replace(x, name=value.name)


def add(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A sum of tokens, or of tokens and numbers for their places and channels, such as positions."""
    first, second = given["self"], given["other"]
    if not isinstance(first, Value):
        first, second = second, first
    if isinstance(second, Value):
        x, y = settled(reader, first), settled(reader, second)
        if given.get("alpha", 1) != 1 or x.index.shape != y.index.shape or not torch.equal(x.index, y.index):
            raise reader.refused("adds tokens of different places or channels")
        return replace(x, name=reader.add("add", (x, y), "nchw").name)
    return _with_numbers(reader, first, torch.as_tensor(second, dtype=torch.float32) * given.get("alpha", 1), times=False)


def sub(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Tokens less numbers."""
    if isinstance(given["other"], Value):
        raise reader.refused("takes a value of the network from another", advice="add them")
    return add(reader, {**given, "other": -given["other"]}, shape)


def mul(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Tokens times numbers for their channels, or two values multiplied."""
    first, second = given["self"], given["other"]
    if not isinstance(first, Value):
        first, second = second, first
    if isinstance(second, Value):
        x, y = settled(reader, first), settled(reader, second)
        if x.index.shape != y.index.shape or not torch.equal(x.index, y.index):
            raise reader.refused("multiplies tokens of different places or channels")
        maps = {"self": Value(x.name, "nchw"), "other": Value(y.name, "nchw")}
        return replace(x, name=HANDLERS["mul"](reader, maps, shape).name)
    return _with_numbers(reader, first, torch.as_tensor(second, dtype=torch.float32), times=True)


def div(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Tokens divided by numbers for their channels."""
    if isinstance(given["other"], Value) or given.get("rounding_mode"):
        raise reader.refused("divides by a value of the network")
    return mul(reader, {"self": given["self"], "other": 1 / given["other"]}, shape)


def _with_numbers(reader: Reader, given: Value, numbers: Tensor, *, times: bool) -> Value:
    x = tokens_of(reader, given)
    if numbers.numel() == 1 and times:
        return replace(x, factor=x.factor * float(numbers))
    x = settled(reader, x)
    if numbers.numel() == 1:
        return replace(x, name=HANDLERS["add"](reader, {"self": Value(x.name, "nchw"), "other": float(numbers)}, ()).name)
    channels, places = shape_of(reader, x)
    table = torch.empty(BATCH * places * channels)
    table[x.index.flatten()] = numbers.expand(x.index.shape).flatten()
    rows = table.reshape(BATCH, places, channels)[0]
    if bool((rows == rows[:1]).all()):
        one, none = torch.ones(channels), torch.zeros(channels)
        layer = scaling(rows[0], none) if times else scaling(one, rows[0])
        return replace(x, name=reader.add("norm", (x,), "nchw", layer=layer).name)
    if times:
        raise reader.refused("multiplies each token with numbers of its own", advice="use one number for each channel")
    return replace(x, name=_placed(reader, x, rows))


def _placed(reader: Reader, x: Tokens, rows: Tensor) -> str:
    """Return the sum of tokens and ``rows`` ``[places, channels]``, in one step with what was added just before."""
    made = reader.made(x.name)
    if made.kind == "positions" and reader.alone:
        layer: Any = reader.layers[made.name]
        reader.layers[made.name] = Positions(layer.table.detach() + _columns(rows))
        return made.name
    return reader.add("positions", (x,), "nchw", layer=Positions(_columns(rows))).name


def _columns(rows: Tensor) -> Tensor:
    """Return ``[places, channels]`` as ``[1, channels, places, 1]``."""
    return rows.T[None, :, :, None].clone()


def cat(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Tokens that were learned, such as a class token, before the others; or channels beside each other."""
    *learned, last = given["tensors"]
    if not isinstance(last, Value) or any(isinstance(each, Value) for each in learned) or given["dim"] % len(shape) != 1:
        raise reader.refused(
            "joins tokens of the network", advice="put learned tokens before the others: torch.cat([token, x], dim=1)"
        )
    x = settled(reader, last)
    channels, places = shape_of(reader, x)
    plainly = torch.arange(BATCH * places * channels).reshape(BATCH, places, channels)
    if not torch.equal(x.index, plainly):
        raise reader.refused("joins tokens in another order than [batch, tokens, channels]")
    rows = torch.cat([each.expand(BATCH, -1, channels)[0] for each in learned])
    table = torch.cat([rows, torch.zeros(places, channels)])
    value = reader.add("positions", (x,), "nchw", layer=Positions(_columns(table)))
    index = torch.arange(BATCH * len(table) * channels).reshape(BATCH, len(table), channels)
    return Tokens(value.name, "tokens", index=index)


def mean(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The mean of all tokens."""
    return _pooled(reader, given, shape, "mean")


def amax(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The largest of all tokens."""
    return _pooled(reader, given, shape, "max")


def largest(reader: Reader, given: Arguments, shape: Shape) -> tuple[Value, None]:
    """The largest of all tokens, beside where they stand, which nobody reads."""
    if "dim" not in given:
        raise reader.refused("compares two values, or takes one of all", advice="take the largest of all tokens, x.amax(1)")
    return amax(reader, {**given, "dim": [given["dim"]]}, shape), None


def adaptive_avg_pool1d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The mean of all tokens, of channels that come first."""
    if shape[2:] != (1,):
        raise reader.refused("makes several tokens of others", advice="take the mean of all tokens, x.mean(1)")
    return _pooled(reader, {**given, "dim": [2]}, shape, "mean")


def _pooled(reader: Reader, given: Arguments, shape: Shape, kind: Any) -> Value:
    x = settled(reader, given["self"])
    channels, places = shape_of(reader, x)
    axes = sorted(axis % x.index.dim() for axis in given["dim"] or ())
    rest = [axis for axis in range(x.index.dim()) if axis not in axes]
    kept = x.index.permute(*rest, *axes)
    wanted = torch.arange(BATCH * places * channels).reshape(BATCH, places, channels).transpose(1, 2)
    if tuple(kept.shape[: len(rest)]) != (BATCH, channels) or not torch.equal(kept.flatten(2).sort(dim=2).values, wanted):
        raise reader.refused(f"is taken over axes {given['dim']}", advice="take it over all tokens, x.mean(1)")
    if len(shape) != 2 and not (kind == "mean" and len(shape) == 3 and shape[2] == 1):
        raise reader.refused("keeps the axis that it is taken over", advice="use keepdim=False")
    value: Value = reader.add(kind, (x,), "nf")
    return replace(value, axes="nc1") if len(shape) == 3 else value


def _pointwise(reader: Reader, name: str, given: Arguments, shape: Shape) -> Value:
    if name == "prelu" and given["weight"].numel() > 1:
        raise reader.refused("has slopes of its own for each token", advice="use one slope, nn.PReLU()")
    key = "self" if "self" in given else "input"
    x = settled(reader, given[key])
    value = HANDLERS[name](reader, {**given, key: Value(x.name, "nchw")}, shape)
    return replace(x, name=value.name)


_POINTWISE = frozenset((*ACTIVATIONS, "relu", "relu6", "hardtanh", "clamp", "clamp_min", "neg", "rsub", "sigmoid", "prelu"))
_HANDLERS: dict[str, Handler] = {
    "linear": linear,
    "addmm": addmm,
    "matmul": matmul,
    "bmm": matmul,
    "layer_norm": layer_norm,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "cat": cat,
    "concat": cat,
    "mean": mean,
    "amax": amax,
    "max": largest,
    "adaptive_avg_pool1d": adaptive_avg_pool1d,
}
"""Operator without its trailing underscore to what reads it, where it reads tokens."""
