"""Layers, sums and numbers for each channel: what operators of a ``torch.export`` graph become, see ``reading.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from understudy.network.reading import NORMALIZED, Reader, Value, linear_of, scaling
from understudy.network.reading_curves import bent, joined, product, scaled
from understudy.network.reading_parts import parts_of
from understudy.network.reading_values import (
    CHANNELS_LAST,
    POINTS,
    Arguments,
    Shape,
    added,
    around_of,
    both,
    image_of,
    plain,
    unpadded,
)
from understudy.network.steps import Scaling, symmetric
from understudy.program.real_curves import VALUE

MOST_GROUPS = 32
"""Groups of a convolution over some channels each: every one is a layer of its own in the files."""
LARGEST_DILATED = 7
"""Rows and columns of a kernel with zeros in between: 3x3 numbers take 49 where they reach so far."""


def conv2d(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A convolution over all channels, or of each channel for itself."""
    weight, bias = given["weight"], given["bias"]
    if given["groups"] > 1 and not (given["groups"] == len(weight) and weight.shape[1] == 1):
        return _grouped(reader, given)
    if isinstance(given["input"], Value) and given["input"].axes == "nc11" and weight.shape[2:] == (1, 1):
        x = replace(unpadded(reader, given["input"]), axes="nf")
        if given["groups"] > 1:
            raise reader.refused(f"has groups={given['groups']} for a vector")
        return replace(reader.add("linear", (x,), "nf", layer=linear_of(weight[:, :, 0, 0], bias)), axes="nc11")
    x = image_of(reader, given["input"])
    groups, dilation = given["groups"], both(reader, given["dilation"], "dilation")
    weight = _dilated(weight, dilation)
    outputs, inputs, rows, columns = weight.shape
    if dilation > 1 and groups == 1 and max(rows, columns) > LARGEST_DILATED:
        raise reader.refused(
            f"has dilation={dilation} over all channels, a kernel of {(rows, columns)} with zeros in between",
            advice=f"let it reach {LARGEST_DILATED} places, dilate depthwise convolutions alone, or use a stride",
        )
    padding = given["padding"]
    if isinstance(padding, str):
        # "same": the odd zero comes last
        rest = [(size - 1) if padding == "same" else 0 for size in (rows, columns)]
        around = (rest[0] // 2, rest[1] // 2, rest[0] - rest[0] // 2, rest[1] - rest[1] // 2)
    else:
        around = around_of(padding)
    stride = both(reader, given["stride"], "stride")
    padding = added(around, x.padding)
    if max(padding[0], padding[2]) >= rows or max(padding[1], padding[3]) >= columns:
        raise reader.refused(f"has padding={padding} around a kernel of {(rows, columns)}, where places see zeros only")
    own = (padding[0], padding[1]) if symmetric(padding) else (0, 0)
    layer = nn.Conv2d(inputs * groups, outputs, (rows, columns), stride, own, groups=groups, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return reader.add("conv", (x,), "nchw", layer=layer, stride=stride, padding=padding)


def _grouped(reader: Reader, given: Arguments) -> Value:
    """A convolution in groups: one for each part of the channels, and what they give beside each other."""
    groups = given["groups"]
    if groups > MOST_GROUPS:
        raise reader.refused(
            f"has groups={groups} for {len(given['weight'])} outputs",
            advice=f"use at most {MOST_GROUPS}, or one group for each channel",
        )
    x = given["input"]
    if not isinstance(x, Value):
        raise reader.refused("reads a constant")
    biases = [None] * groups if given["bias"] is None else given["bias"].chunk(groups)
    made = [
        conv2d(reader, {**given, "input": part, "weight": weight, "bias": bias, "groups": 1}, ())
        for part, weight, bias in zip(
            parts_of(reader, x, [given["weight"].shape[1]] * groups), given["weight"].chunk(groups), biases, strict=True
        )
    ]
    return replace(reader.add("concat", tuple(made), made[0].axes), axes=made[0].axes)


def _dilated(weight: Tensor, dilation: int) -> Tensor:
    """Return ``weight`` ``[O, I, rows, columns]`` as the larger kernel with zeros between its numbers that a dilation means."""
    outputs, inputs, rows, columns = weight.shape
    found = weight.new_zeros(outputs, inputs, (rows - 1) * dilation + 1, (columns - 1) * dilation + 1)
    found[:, :, ::dilation, ::dilation] = weight
    return found


def linear(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A linear layer over a vector."""
    x, weight = given["input"], given["weight"]
    if isinstance(x, Value) and x.spread is not None and x.axes == "nf":
        weight, x = _spread(weight, x.spread), replace(x, spread=None)
    x = unpadded(reader, x)
    if x.axes not in CHANNELS_LAST:
        raise reader.refused(f"reads axes {x.axes!r}", advice="flatten or pool the image first, or use a 1x1 convolution")
    if x.columns is not None:
        moved = torch.empty_like(weight)
        moved[:, x.columns] = weight
        weight = moved
    return replace(reader.add("linear", (x,), "nf", layer=linear_of(weight, given["bias"])), axes=x.axes)


def _spread(weight: Tensor, spread: tuple[Tensor, Tensor]) -> Tensor:
    """Return ``weight`` ``[O, C * rows made * columns made]`` for the map that was spread, ``[O, C * rows * columns]``."""
    rows, columns = spread
    made = weight.reshape(len(weight), -1, len(rows), len(columns))
    return torch.einsum("ocHW,Hh,Ww->ochw", made, rows, columns).flatten(1)


def addmm(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A linear layer, as some modules write it."""
    if isinstance(given["mat2"], Value) or isinstance(given["self"], Value):
        raise reader.refused("multiplies two values of the network")
    return linear(reader, {"input": given["mat1"], "weight": given["mat2"].T, "bias": given["self"]}, shape)


def batch_norm(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A batch norm with the statistics that it has learned."""
    x = plain(reader, given["input"])
    if given["running_mean"] is None:
        raise reader.refused("has no statistics of its own", advice="train it with track_running_stats=True")
    if given.get("training"):
        raise reader.refused(
            "norms with the values of each batch", advice="let it use its statistics in evaluation, training=False"
        )
    count = len(given["running_mean"])
    layer: Any = (nn.BatchNorm2d if x.axes == "nchw" else nn.BatchNorm1d)(count, eps=given["eps"])
    if x.axes not in ("nchw", "nf", "nc1", "nc11"):
        raise reader.refused(f"reads axes {x.axes!r}")
    with torch.no_grad():
        layer.running_mean.copy_(given["running_mean"])
        layer.running_var.copy_(given["running_var"])
        layer.weight.copy_(torch.ones(count) if given["weight"] is None else given["weight"])
        layer.bias.copy_(torch.zeros(count) if given["bias"] is None else given["bias"])
    return reader.add("norm", (x,), x.axes, layer=layer)


def relu(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Relu."""
    return _clamped(reader, plain(reader, given["self"]), None)


def _clamped(reader: Reader, x: Value, ceiling: float | None) -> Value:
    curve = "x relu" if ceiling is None else f"x 0 {ceiling:.9g} clamp"
    if reader.made(x.name).kind == "lookup":
        return bent(reader, x, curve)
    value = reader.add("relu", (x,), x.axes, ceiling=ceiling)
    reader.curves[value.name] = curve
    return value


def prelu(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A leaky relu whose slope was learned; of one for each channel, a relu and what is below 0 times the slopes."""
    x, slopes = plain(reader, given["self"]), given["weight"]
    if slopes.numel() == 1:
        return bent(reader, x, f"{VALUE} {slopes.item():.9g} leaky_relu")
    if x.axes != "nchw":
        raise reader.refused(
            f"has {slopes.numel()} slopes for a vector", advice="use one slope for all channels, nn.PReLU(), or nn.LeakyReLU()"
        )
    above, below = _clamped(reader, x, None), bent(reader, x, f"{VALUE} -inf 0 clamp")
    return reader.add("add", (above, _affine(reader, below, scale=slopes[:, None, None], shift=0.0)), x.axes)


def hardtanh(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A clamp: between 0 and a ceiling it is a relu6, between others an activation."""
    x = plain(reader, given["self"])
    low = given.get("min_val", given.get("min", 0.0))
    high = given.get("max_val", given.get("max", 6.0))
    if any(isinstance(each, Value | Tensor) for each in (low, high)):
        raise reader.refused("clamps between values of the network", advice="clamp between two numbers")
    if low != 0 or (high is not None and high <= 0):
        ends = (-torch.inf if low is None else low, torch.inf if high is None else high)
        return bent(reader, x, f"x {ends[0]:.9g} {ends[1]:.9g} clamp")
    return _clamped(reader, x, None if high is None else float(high))


def add(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A sum of two values, or of a value and a number for each channel."""
    first, second, alpha = given["self"], given["other"], given.get("alpha", 1)
    if not isinstance(first, Value):
        return _affine(reader, second, scale=alpha, shift=first)
    if not isinstance(second, Value):
        return _affine(reader, first, scale=1.0, shift=second * alpha)
    x, y = plain(reader, first), plain(reader, second)
    if x.axes != y.axes or len(shape) != len(x.axes) or reader.sizes(x) != reader.sizes(y):
        raise reader.refused(
            f"adds axes {x.axes!r} of {reader.sizes(x)} and {y.axes!r} of {reader.sizes(y)}",
            advice="add values of one shape, or constants for each channel",
        )
    if alpha != 1:
        y = _affine(reader, y, scale=alpha, shift=0.0)
    return reader.add("add", (x, y), x.axes)


def sub(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A value less another or a number for each channel."""
    first, second, alpha = given["self"], given["other"], given.get("alpha", 1)
    if isinstance(first, Value) and isinstance(second, Value) and alpha == 1:
        difference = joined(reader, plain(reader, first), plain(reader, second), "sub")
        if difference is not None:
            return difference
    return add(reader, {"self": first, "other": second, "alpha": -alpha}, shape)


def rsub(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A number for each channel less a value."""
    return _affine(reader, given["self"], scale=-given.get("alpha", 1), shift=given["other"])


def neg(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value with the other sign."""
    return _affine(reader, given["self"], scale=-1.0, shift=0.0)


def mul(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value times a number for each channel, or two values multiplied."""
    first, second = given["self"], given["other"]
    if isinstance(first, Value) and isinstance(second, Value):
        return product(reader, first, second)
    if not isinstance(first, Value):
        first, second = second, first
    return _affine(reader, first, scale=second, shift=0.0)


def div(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value divided by a number for each channel."""
    first, second = given["self"], given["other"]
    if isinstance(first, Value) and isinstance(second, Value) and not given.get("rounding_mode"):
        quotient = joined(reader, plain(reader, first), plain(reader, second), "div")
        if quotient is not None:
            return quotient
    if not isinstance(first, Value) or isinstance(second, Value) or given.get("rounding_mode"):
        raise reader.refused("divides by a value of the network")
    return _affine(reader, given["self"], scale=1 / given["other"], shift=0.0)


def _affine(reader: Reader, x: Value, *, scale: Any, shift: Any) -> Value:
    """Return ``x * scale + shift``: of the images part of what is done to pixels, of a linear layer part of its weights."""
    x = plain(reader, x)
    axes = x.axes
    if axes not in ("nchw", "nhwc", "nhw", *POINTS):
        raise reader.refused(f"reads axes {axes!r}")
    last = reader.steps[-1]
    begins = x.name == NORMALIZED == last.name
    count = reader.sizes(x)[0]
    numbers = []
    for each in (scale, shift):
        tensor = torch.as_tensor(each, dtype=torch.float32)
        if tensor.numel() not in (1, count) or (tensor.numel() > 1 and not _along_channels(tensor, axes)):
            raise reader.refused(
                f"has {tensor.numel()} numbers for {count} channels", advice="use one number, or one for each channel"
            )
        numbers.append(tensor.flatten().expand(count).clone())
    if bool((numbers[0] == 1).all()) and not bool(numbers[1].any()):
        return x
    if begins:
        layer: Any = reader.layers[last.name]
        layer.shift, layer.scale = layer.shift * numbers[0] + numbers[1], layer.scale * numbers[0]
        return x
    if axes in POINTS and last.name == x.name and reader.alone and isinstance(reader.layers.get(last.name), Scaling):
        scaled_before: Any = reader.layers[last.name]
        before = scaled_before.weight.detach(), scaled_before.bias.detach()
        reader.layers[last.name] = scaling(before[0] * numbers[0], before[1] * numbers[0] + numbers[1])
        return x
    if axes in POINTS and last.kind == "linear" and last.name == x.name and reader.alone:
        made: Any = reader.layers[last.name]
        bias = torch.zeros(count) if made.bias is None else made.bias.detach()
        reader.layers[last.name] = linear_of(made.weight.detach() * numbers[0][:, None], bias * numbers[0] + numbers[1])
        return x
    words = _words(numbers)
    curve = None if words is None else scaled(reader, x, words)
    if curve is not None:
        return curve
    if axes != "nchw":
        raise reader.refused("scales a vector", advice="make it part of a linear layer or of a batch norm")
    alone = nn.Conv2d(count, count, 1, groups=count)
    with torch.no_grad():
        alone.weight.copy_(numbers[0].reshape(-1, 1, 1, 1))
        cast(Tensor, alone.bias).copy_(numbers[1])
    value = reader.add("conv", (x,), axes, layer=alone)
    if words is not None:
        reader.curves[value.name] = f"x {words}"
    return value


def _words(numbers: list[Tensor]) -> str | None:
    """Return times and plus one number as the words of a curve, None where they differ between channels."""
    if any(bool((each != each[0]).any()) for each in numbers):
        return None
    scale, shift = (float(each[0]) for each in numbers)
    return " ".join([*([f"{scale:.9g} mul"] if scale != 1 else []), *([f"{shift:.9g} add"] if shift else [])])


def _along_channels(tensor: torch.Tensor, axes: str) -> bool:
    """Return whether the numbers of ``tensor``, broadcast to ``axes``, differ between channels only."""
    channel = axes.replace("f", "c").index("c")
    behind = len(axes) - channel - 1
    return tensor.dim() > behind and tensor.shape[tensor.dim() - 1 - behind] == tensor.numel()


def cat(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Channels beside each other."""
    parts = [plain(reader, each) for each in given["tensors"]]
    if len(parts) == 1:
        return parts[0]
    axes = parts[0].axes
    alike = all(each.axes == axes for each in parts) and axes in ("nchw", *POINTS)
    if not alike or given["dim"] % len(shape) != axes.replace("f", "c").index("c"):
        raise reader.refused(f"joins axes {[each.axes for each in parts]} along {given['dim']}", advice="join channels, dim=1")
    return reader.add("concat", tuple(parts), axes)
