"""Layers, sums and numbers for each channel: what operators of a ``torch.export`` graph become, see ``reading.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from understudy.network.reading import NORMALIZED, Reader, Value, linear_of
from understudy.network.steps import symmetric

Arguments = dict[str, Any]
Shape = tuple[int, ...]
Handler = Callable[[Reader, Arguments, Shape], Any]
_NOTHING = (0, 0, 0, 0)
_CHANNELS_FIRST = ("nchw", "nf", "nc11")


def image_of(reader: Reader, x: Any) -> Value:
    """Return ``x``, which must be a map with its channels first."""
    if not isinstance(x, Value) or x.axes != "nchw":
        raise reader.refused(f"reads axes {getattr(x, 'axes', 'of a constant')!r} where it must read channels first, nchw")
    return x


def unpadded(reader: Reader, given: Any) -> Value:
    """Return the value where no padding waits to be applied."""
    if not isinstance(given, Value):
        raise reader.refused("reads a constant")
    if given.padding != _NOTHING:
        raise reader.refused("reads a padded image", advice="pad before convolutions and pools alone")
    return given


def plain(reader: Reader, given: Any) -> Value:
    """Return the value where neither padding nor another order of numbers waits to be applied."""
    x = unpadded(reader, given)
    if x.columns is not None:
        raise reader.refused("reads an image that was flattened with its channels last", advice="permute it to NCHW first")
    return x


def both(reader: Reader, value: Any, what: str) -> int:
    """Return the one number that a setting has for rows and columns."""
    numbers = {int(each) for each in value}
    if len(numbers) != 1:
        raise reader.refused(f"has {what}={tuple(value)}, which differs between rows and columns")
    return numbers.pop()


def around_of(padding: Any) -> tuple[int, int, int, int]:
    """Return the padding of rows and columns as top, left, bottom, right."""
    rows, columns = (padding[0], padding[-1]) if len(padding) else (0, 0)
    return (int(rows), int(columns), int(rows), int(columns))


def added(first: Sequence[int], second: Sequence[int]) -> tuple[int, int, int, int]:
    """Return the sum of two paddings."""
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return (top, left, bottom, right)


def conv2d(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A convolution over all channels, or of each channel for itself."""
    weight, bias = given["weight"], given["bias"]
    if isinstance(given["input"], Value) and given["input"].axes == "nc11" and weight.shape[2:] == (1, 1):
        x = replace(unpadded(reader, given["input"]), axes="nf")
        if given["groups"] > 1:
            raise reader.refused(f"has groups={given['groups']} for a vector")
        return replace(reader.add("linear", (x,), "nf", layer=linear_of(weight[:, :, 0, 0], bias)), axes="nc11")
    x = image_of(reader, given["input"])
    if both(reader, given["dilation"], "dilation") != 1:
        raise reader.refused(f"has dilation={tuple(given['dilation'])}")
    groups, (outputs, inputs, rows, columns) = given["groups"], weight.shape
    if groups > 1 and not (groups == outputs and inputs == 1):
        raise reader.refused(f"has groups={groups} for {outputs} outputs", advice="use groups=1, or one group for each channel")
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


def linear(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A linear layer over a vector."""
    x, weight = unpadded(reader, given["input"]), given["weight"]
    if x.axes != "nf":
        raise reader.refused(f"reads axes {x.axes!r}", advice="flatten or pool the image first, or use a 1x1 convolution")
    if x.columns is not None:
        moved = torch.empty_like(weight)
        moved[:, x.columns] = weight
        weight = moved
    return reader.add("linear", (x,), "nf", layer=linear_of(weight, given["bias"]))


def addmm(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A linear layer, as some modules write it."""
    if isinstance(given["mat2"], Value) or isinstance(given["self"], Value):
        raise reader.refused("multiplies two values of the network")
    return linear(reader, {"input": given["mat1"], "weight": given["mat2"].T, "bias": given["self"]}, shape)


def batch_norm(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A batch norm with the statistics that it has learned."""
    x = plain(reader, given["input"])
    if given.get("training") or given["running_mean"] is None:
        raise reader.refused("has no statistics of its own", advice="train it with track_running_stats=True")
    count = len(given["running_mean"])
    layer: Any = (nn.BatchNorm2d if x.axes == "nchw" else nn.BatchNorm1d)(count, eps=given["eps"])
    if x.axes not in _CHANNELS_FIRST:
        raise reader.refused(f"reads axes {x.axes!r}")
    with torch.no_grad():
        layer.running_mean.copy_(given["running_mean"])
        layer.running_var.copy_(given["running_var"])
        layer.weight.copy_(torch.ones(count) if given["weight"] is None else given["weight"])
        layer.bias.copy_(torch.zeros(count) if given["bias"] is None else given["bias"])
    return reader.add("norm", (x,), x.axes, layer=layer)


def relu(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Relu."""
    x = plain(reader, given["self"])
    return reader.add("relu", (x,), x.axes)


def hardtanh(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Relu6, as a clamp between 0 and a ceiling."""
    x = plain(reader, given["self"])
    low = given.get("min_val", given.get("min", 0.0))
    high = given.get("max_val", given.get("max", 6.0))
    if low != 0 or (high is not None and high <= 0):
        raise reader.refused(f"clamps from {low} to {high}", advice="clamp from 0 on, as relu and relu6 do")
    return reader.add("relu", (x,), x.axes, ceiling=None if high is None else float(high))


def add(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A sum of two values, or of a value and a number for each channel."""
    first, second = given["self"], given["other"]
    if given.get("alpha", 1) != 1:
        raise reader.refused(f"has alpha={given['alpha']}")
    if not isinstance(first, Value):
        first, second = second, first
    if not isinstance(second, Value):
        return _affine(reader, first, scale=1.0, shift=second)
    x, y = plain(reader, first), plain(reader, second)
    if x.axes != y.axes or len(shape) != len(x.axes):
        raise reader.refused(f"adds axes {x.axes!r} and {y.axes!r}")
    return reader.add("add", (x, y), x.axes)


def sub(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value less a number for each channel."""
    if not isinstance(given["self"], Value) or isinstance(given["other"], Value) or given.get("alpha", 1) != 1:
        raise reader.refused("takes a value of the network from another", advice="add them")
    return _affine(reader, given["self"], scale=1.0, shift=-given["other"])


def mul(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value times a number for each channel."""
    first, second = given["self"], given["other"]
    if isinstance(first, Value) and isinstance(second, Value):
        raise reader.refused("multiplies two values of the network, as gates and attention do")
    if not isinstance(first, Value):
        first, second = second, first
    return _affine(reader, first, scale=second, shift=0.0)


def div(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A value divided by a number for each channel."""
    if not isinstance(given["self"], Value) or isinstance(given["other"], Value) or given.get("rounding_mode"):
        raise reader.refused("divides by a value of the network")
    return _affine(reader, given["self"], scale=1 / given["other"], shift=0.0)


def _affine(reader: Reader, x: Value, *, scale: Any, shift: Any) -> Value:
    """Return ``x * scale + shift``: of the images part of what is done to pixels, of a linear layer part of its weights."""
    x = plain(reader, x)
    axes = x.axes
    if axes not in ("nchw", "nhwc", "nhw", "nf"):
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
    if begins:
        layer: Any = reader.layers[last.name]
        layer.shift, layer.scale = layer.shift * numbers[0] + numbers[1], layer.scale * numbers[0]
        return x
    if axes == "nf" and last.kind == "linear" and last.name == x.name:
        made: Any = reader.layers[last.name]
        bias = torch.zeros(count) if made.bias is None else made.bias.detach()
        reader.layers[last.name] = linear_of(made.weight.detach() * numbers[0][:, None], bias * numbers[0] + numbers[1])
        return x
    if axes != "nchw":
        raise reader.refused("scales a vector", advice="make it part of a linear layer or of a batch norm")
    alone = nn.Conv2d(count, count, 1, groups=count)
    with torch.no_grad():
        alone.weight.copy_(numbers[0].reshape(-1, 1, 1, 1))
        cast(Tensor, alone.bias).copy_(numbers[1])
    return reader.add("conv", (x,), axes, layer=alone)


def _along_channels(tensor: torch.Tensor, axes: str) -> bool:
    """Return whether the numbers of ``tensor``, broadcast to ``axes``, differ between channels only."""
    channel = axes.index("c" if "c" in axes else "f")
    behind = len(axes) - channel - 1
    return tensor.dim() > behind and tensor.shape[tensor.dim() - 1 - behind] == tensor.numel()


def cat(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Channels beside each other."""
    parts = [plain(reader, each) for each in given["tensors"]]
    if len(parts) == 1:
        return parts[0]
    if len({each.axes for each in parts}) > 1 or parts[0].axes not in _CHANNELS_FIRST or given["dim"] % len(shape) != 1:
        raise reader.refused(f"joins axes {[each.axes for each in parts]} along {given['dim']}", advice="join channels, dim=1")
    return reader.add("concat", tuple(parts), parts[0].axes)
