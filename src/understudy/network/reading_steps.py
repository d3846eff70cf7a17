"""What each operator of a ``torch.export`` graph becomes, one function each; see ``reading.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from understudy.network.reading import ENDED, NORMALIZED, Reader, Value, linear_of
from understudy.network.steps import symmetric

Arguments = dict[str, Any]
Shape = tuple[int, ...]
Handler = Callable[[Reader, Arguments, Shape], Any]
_NOTHING = (0, 0, 0, 0)


def _image(reader: Reader, x: Any) -> Value:
    """Return ``x``, which must be a map with its channels first."""
    if not isinstance(x, Value) or x.axes != "nchw":
        raise reader.refused(f"reads axes {getattr(x, 'axes', 'of a constant')!r} where it must read channels first, nchw")
    return x


def _unpadded(reader: Reader, given: Any) -> Value:
    if not isinstance(given, Value):
        raise reader.refused("reads a constant")
    if given.padding != _NOTHING:
        raise reader.refused("reads a padded image", advice="pad before convolutions and pools alone")
    return given


def _plain(reader: Reader, given: Any) -> Value:
    """Return the value where neither padding nor another order of numbers waits to be applied."""
    x = _unpadded(reader, given)
    if x.columns is not None:
        raise reader.refused("reads an image that was flattened with its channels last", advice="permute it to NCHW first")
    return x


def _both(reader: Reader, value: Any, what: str) -> int:
    """Return the one number that a setting has for rows and columns."""
    numbers = {int(each) for each in value}
    if len(numbers) != 1:
        raise reader.refused(f"has {what}={tuple(value)}, which differs between rows and columns")
    return numbers.pop()


def _around(padding: Any) -> tuple[int, int, int, int]:
    rows, columns = (padding[0], padding[-1]) if len(padding) else (0, 0)
    return (int(rows), int(columns), int(rows), int(columns))


def _added(first: Sequence[int], second: Sequence[int]) -> tuple[int, int, int, int]:
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return (top, left, bottom, right)


def conv2d(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A convolution over all channels, or of each channel for itself."""
    x, weight, bias = _image(reader, given["input"]), given["weight"], given["bias"]
    if _both(reader, given["dilation"], "dilation") != 1:
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
        around = _around(padding)
    stride = _both(reader, given["stride"], "stride")
    padding = _added(around, x.padding)
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
    x, weight = _unpadded(reader, given["input"]), given["weight"]
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
    x = _plain(reader, given["input"])
    if given.get("training") or given["running_mean"] is None:
        raise reader.refused("has no statistics of its own", advice="train it with track_running_stats=True")
    count = len(given["running_mean"])
    layer: Any = (nn.BatchNorm2d if x.axes == "nchw" else nn.BatchNorm1d)(count, eps=given["eps"])
    if x.axes not in ("nchw", "nf"):
        raise reader.refused(f"reads axes {x.axes!r}")
    with torch.no_grad():
        layer.running_mean.copy_(given["running_mean"])
        layer.running_var.copy_(given["running_var"])
        layer.weight.copy_(torch.ones(count) if given["weight"] is None else given["weight"])
        layer.bias.copy_(torch.zeros(count) if given["bias"] is None else given["bias"])
    return reader.add("norm", (x,), x.axes, layer=layer)


def relu(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Relu."""
    x = _plain(reader, given["self"])
    return reader.add("relu", (x,), x.axes)


def hardtanh(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Relu6, as a clamp between 0 and a ceiling."""
    x = _plain(reader, given["self"])
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
    x, y = _plain(reader, first), _plain(reader, second)
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
    """Return ``x * scale + shift``, as a batch norm; of the images themselves, as part of what is done to pixels."""
    x = _plain(reader, x)
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
    norm: Any = (nn.BatchNorm2d if axes == "nchw" else nn.BatchNorm1d)(count, eps=0.0)
    if axes not in ("nchw", "nf"):
        raise reader.refused(f"reads axes {axes!r}")
    with torch.no_grad():
        norm.weight.copy_(numbers[0])
        norm.bias.copy_(numbers[1])
    return reader.add("norm", (x,), axes, layer=norm)


def _along_channels(tensor: torch.Tensor, axes: str) -> bool:
    """Return whether the numbers of ``tensor``, broadcast to ``axes``, differ between channels only."""
    channel = axes.index("c" if "c" in axes else "f")
    behind = len(axes) - channel - 1
    return tensor.dim() > behind and tensor.shape[tensor.dim() - 1 - behind] == tensor.numel()


def cat(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Channels beside each other."""
    parts = [_plain(reader, each) for each in given["tensors"]]
    if len({each.axes for each in parts}) > 1 or parts[0].axes not in ("nchw", "nf") or given["dim"] % len(shape) != 1:
        raise reader.refused(f"joins axes {[each.axes for each in parts]} along {given['dim']}", advice="join channels, dim=1")
    return reader.add("concat", tuple(parts), parts[0].axes)


def max_pool2d(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A pool of the largest."""
    x = _image(reader, given["self"])
    if any(each != 1 for each in given["dilation"]) or given["ceil_mode"]:
        raise reader.refused(f"has dilation={tuple(given['dilation'])}, ceil_mode={given['ceil_mode']}")
    kernel = (int(given["kernel_size"][0]), int(given["kernel_size"][-1]))
    stride = _both(reader, given["stride"] or kernel, "stride")
    # zeros that were put around values after a relu do not change which is the largest, but others may be below 0
    if x.padding != _NOTHING:
        raise reader.refused("reads a padded image", advice="give the pool its own padding")
    return reader.add("max_pool", (x,), "nchw", kernel=kernel, stride=stride, padding=_around(given["padding"]))


def avg_pool2d(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A pool of the mean, where padding counts."""
    x = _image(reader, given["self"])
    kernel = (int(given["kernel_size"][0]), int(given["kernel_size"][-1]))
    stride = _both(reader, given["stride"] or kernel, "stride")
    padding = _around(given["padding"])
    if given["ceil_mode"] or given["divisor_override"] or (any(padding) and not given["count_include_pad"]):
        raise reader.refused("does not divide every sum by the size of the kernel", advice="use the pool's default settings")
    if max(padding[0] * kernel[1], padding[1] * kernel[0]) and max(padding[0] / kernel[0], padding[1] / kernel[1]) >= 1:
        raise reader.refused(f"has padding={padding} around a kernel of {kernel}")
    return reader.add("average_pool", (x,), "nchw", kernel=kernel, stride=stride, padding=_added(padding, x.padding))


def adaptive_avg_pool2d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A pool of all places, or of equal parts of them."""
    return _adaptive(reader, given, shape, all_places="mean", parts="average_pool")


def adaptive_max_pool2d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The same of the largest."""
    return _adaptive(reader, given, shape, all_places="max", parts="max_pool")


def _adaptive(reader: Reader, given: Arguments, shape: Shape, *, all_places: Any, parts: Any) -> Value:
    x = _image(reader, _unpadded(reader, given["self"]))
    if shape[2:] == (1, 1):
        return replace(reader.add(all_places, (x,), "nf"), axes="nc11")
    _, rows, columns = reader.sizes(x)
    kernel = (rows // shape[2], columns // shape[3])
    if (rows % shape[2], columns % shape[3]) != (0, 0) or kernel[0] != kernel[1]:
        raise reader.refused(f"makes {tuple(shape[2:])} places of {(rows, columns)}", advice="use parts of equal size")
    if kernel == (1, 1):
        return x
    return reader.add(parts, (x,), "nchw", kernel=kernel, stride=kernel[0])


def mean(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The mean of all places."""
    x = _image(reader, _unpadded(reader, given["self"]))
    axes = sorted(axis % 4 for axis in given["dim"] or ())
    if axes != [2, 3]:
        raise reader.refused(f"is taken over axes {given['dim']}", advice="take it over rows and columns, (2, 3)")
    value = reader.add("mean", (x,), "nf")
    return replace(value, axes="nc11") if len(shape) == 4 else value


def amax(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The largest of all places."""
    value = mean(reader, given, shape)
    reader.steps[-1] = replace(reader.steps[-1], kind="max")
    return value


def flatten(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Views, reshapes and flattenings: places or a single place as a vector, and a vector of the input as an image."""
    x = _unpadded(reader, given["self"])
    if x.axes == "nc11" and len(shape) == 2:
        return replace(x, axes="nf")
    if x.axes == "nf" and len(shape) == 4 and shape[2:] == (1, 1):
        return replace(x, axes="nc11")
    if len(shape) == len(x.axes) and x.axes in ("nf", "nc11"):
        return x
    if x.axes in ("nchw", "nhwc", "nhw") and len(shape) == 2:
        return reader.flattened(x)
    if x.axes in ("nchw", "nhwc", "nhw") and len(shape) == 4 and reader.shape[2] == 1 and x.name == NORMALIZED:
        return replace(x, axes="nchw" if shape[1] == 1 else "nhwc")
    if x.axes == "nf" and len(shape) == 4 and reader.steps[-1].kind == "flatten" and len(reader.steps) == 2:
        height, width, channels = reader.shape
        for axes, wanted in (("nhwc", (height, width, channels)), ("nchw", (channels, height, width))):
            if tuple(shape[1:]) == wanted and (axes == "nhwc" or channels == 1):
                reader.steps.pop()
                return Value(NORMALIZED, axes)
    raise reader.refused(f"makes {tuple(shape)} of axes {x.axes!r}", advice="flatten(1) the image, and nothing else of it")


def unsqueeze(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A grey image without an axis for its channels gets one."""
    x = _unpadded(reader, given["self"])
    if x.axes != "nhw" or given["dim"] % len(shape) not in (1, 3):
        raise reader.refused(f"gives axes {x.axes!r} one more")
    return replace(x, axes="nchw" if given["dim"] % len(shape) == 1 else "nhwc")


def squeeze(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A single place loses its rows and columns."""
    x = _unpadded(reader, given["self"])
    if x.axes == "nc11" and len(shape) == 2:
        return replace(x, axes="nf")
    if x.axes == "nc11" and len(shape) == 3:
        return x
    raise reader.refused(f"takes an axis away from {x.axes!r}")


def permute(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Axes in another order."""
    x = _unpadded(reader, given["self"])
    if x.axes not in ("nchw", "nhwc", "nhw"):
        raise reader.refused(f"moves axes {x.axes!r}")
    axes = "".join(x.axes[each] for each in given["dims"])
    if axes not in ("nchw", "nhwc", "nhw"):
        raise reader.refused(f"makes axes {axes!r} of {x.axes!r}")
    return replace(x, axes=axes)


def pad(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Zeros around an image, for the convolution or pool behind it."""
    x = _image(reader, given["self"])
    amounts = [*given["pad"], *[0] * 8]
    if given.get("mode", "constant") != "constant" or (given.get("value") or 0) != 0 or any(amounts[4:]) or min(amounts) < 0:
        raise reader.refused("pads with something else than zeros")
    left, right, top, bottom = amounts[:4]
    return replace(x, padding=_added(x.padding, (top, left, bottom, right)))


def same(reader: Reader, given: Arguments, _: Shape) -> Value:
    """What changes nothing once a network is trained."""
    found = given.get("self", given.get("input"))
    if not isinstance(found, Value):
        raise reader.refused("reads a constant")
    if given.get("train") or given.get("training"):
        raise reader.refused("drops values although the network is not training", advice="use nn.Dropout")
    return found


def last_softmax(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A softmax at the end: programs have their own. In the middle it is refused."""
    x = _unpadded(reader, given.get("self", given.get("input")))
    if x.axes != "nf":
        raise reader.refused("stands in the middle of the network, as in attention")
    return replace(x, axes=ENDED)


def last_sigmoid(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A sigmoid at the end, of one number that says how likely the second of two classes is."""
    if shape[1:] != (1,):
        raise reader.refused("is rounded differently by every format")
    return last_softmax(reader, given, shape)


def clamp_min(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Relu, as a clamp."""
    return hardtanh(reader, {**given, "max": None}, shape)


HANDLERS: dict[str, Handler] = {
    "conv2d": conv2d,
    "linear": linear,
    "addmm": addmm,
    "batch_norm": batch_norm,
    "relu": relu,
    "relu6": hardtanh,
    "hardtanh": hardtanh,
    "clamp": hardtanh,
    "clamp_min": clamp_min,
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "cat": cat,
    "concat": cat,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "mean": mean,
    "amax": amax,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "adaptive_max_pool2d": adaptive_max_pool2d,
    "pad": pad,
    "constant_pad_nd": pad,
    "flatten": flatten,
    "view": flatten,
    "reshape": flatten,
    "_unsafe_view": flatten,
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "permute": permute,
    "dropout": same,
    "feature_dropout": same,
    "contiguous": same,
    "clone": same,
    "detach": same,
    "alias": same,
    "to": same,
    "_to_copy": same,
    "lift_fresh_copy": same,
    "softmax": last_softmax,
    "_softmax": last_softmax,
    "log_softmax": last_softmax,
    "_log_softmax": last_softmax,
    "sigmoid": last_sigmoid,
}
"""Operator without its trailing underscore to what reads it."""
