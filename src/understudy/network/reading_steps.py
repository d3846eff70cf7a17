"""Pools and ends of networks: what operators of a ``torch.export`` graph become, and the table of all; see ``reading.py``."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional

from understudy.network.reading import ENDED, Reader, Value, convolution_of, scaling
from understudy.network.reading_axes import expand, flatten, permute, repeat, select, squeeze, transpose, unsqueeze
from understudy.network.reading_curves import ACTIVATIONS, activation
from understudy.network.reading_layers import (
    add,
    addmm,
    batch_norm,
    cat,
    conv2d,
    div,
    hardtanh,
    linear,
    mul,
    neg,
    prelu,
    relu,
    rsub,
    sub,
)
from understudy.network.reading_parts import channel_shuffle, chunk, narrow, sliced, split
from understudy.network.reading_values import (
    Arguments,
    Handler,
    PartlyPooled,
    Shape,
    added,
    around_of,
    both,
    image_of,
    unpadded,
)
from understudy.network.steps import Kind


def max_pool2d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A pool of the largest."""
    x = image_of(reader, unpadded(reader, given["self"]))
    if any(each != 1 for each in given["dilation"]):
        raise reader.refused(f"has dilation={tuple(given['dilation'])}")
    kernel = (int(given["kernel_size"][0]), int(given["kernel_size"][-1]))
    stride = both(reader, given["stride"] or kernel, "stride")
    top, left, bottom, right = around_of(given["padding"])
    # ceil_mode: what the last place sees beyond the image does not count
    _, rows, columns = reader.sizes(x)
    bottom = max(bottom, (shape[2] - 1) * stride + kernel[0] - rows - top)
    right = max(right, (shape[3] - 1) * stride + kernel[1] - columns - left)
    if (max(top, bottom), max(left, right)) >= kernel or max(left, right) >= kernel[1]:
        raise reader.refused(f"has places of a kernel of {kernel} that see nothing of the image")
    return reader.add("max_pool", (x,), "nchw", kernel=kernel, stride=stride, padding=(top, left, bottom, right))


def avg_pool2d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A pool of the mean, where padding counts."""
    x = image_of(reader, given["self"])
    kernel = (int(given["kernel_size"][0]), int(given["kernel_size"][-1]))
    stride = both(reader, given["stride"] or kernel, "stride")
    padding = around_of(given["padding"])
    around = added(padding, x.padding)
    if kernel == reader.sizes(x)[1:] and not any(around):
        return replace(reader.add("mean", (x,), "nf"), axes="nc11")
    whole = all(
        (size + before + after - reach) // stride + 1 == found
        for size, before, after, reach, found in zip(
            reader.sizes(x)[1:], around[:2], around[2:], kernel, shape[2:], strict=True
        )
    )
    if not whole or given["divisor_override"] or (any(padding) and not given["count_include_pad"]):
        raise reader.refused("does not divide every sum by the size of the kernel", advice="use the pool's default settings")
    if max(around[0], around[2]) >= kernel[0] or max(around[1], around[3]) >= kernel[1]:
        raise reader.refused(f"has padding={around} around a kernel of {kernel}")
    return reader.add("average_pool", (x,), "nchw", kernel=kernel, stride=stride, padding=around)


def adaptive_avg_pool2d(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A pool of all places, or of equal parts of them."""
    return _adaptive(reader, given, shape, all_places="mean", parts="average_pool")


def adaptive_max_pool2d(reader: Reader, given: Arguments, shape: Shape) -> tuple[Value, None]:
    """The same of the largest, beside where they stand, which nobody reads."""
    return _adaptive(reader, given, shape, all_places="max", parts="max_pool"), None


def refusing(why: str, *, advice: str | None = None) -> Handler:
    """Return what refuses an operator that many networks have, and says what to do."""

    def handler(reader: Reader, _: Arguments, __: Shape) -> Any:
        raise reader.refused(why, advice=advice)

    return handler


_OWN_STATISTICS = refusing("norms every image by its own values", advice="use a batch norm, nn.BatchNorm2d, in its place")
_MATRICES = refusing(
    "multiplies maps as matrices",
    advice="make rows of their places first, x.flatten(2).transpose(1, 2), as vision transformers do",
)


def _adaptive(reader: Reader, given: Arguments, shape: Shape, *, all_places: Any, parts: Any) -> Value:
    x = image_of(reader, unpadded(reader, given["self"]))
    if shape[2:] == (1, 1):
        return replace(reader.add(all_places, (x,), "nf"), axes="nc11")
    _, rows, columns = reader.sizes(x)
    across, along = _parts(rows, shape[2]), _parts(columns, shape[3])
    first, second = _kernel_and_stride(across), _kernel_and_stride(along)
    if first is not None and second is not None and len({first[1], second[1]} - {0}) <= 1:
        kernel, stride = (first[0], second[0]), max(first[1], second[1])
        return x if kernel == (1, 1) else reader.add(parts, (x,), "nchw", kernel=kernel, stride=stride)
    if all_places == "mean" and shape[2] >= rows and shape[3] >= columns:
        return replace(x, spread=(_shares(across, rows), _shares(along, columns)))
    raise reader.refused(f"makes {tuple(shape[2:])} places of {(rows, columns)}", advice="use parts of equal size")


def _parts(size: int, count: int) -> list[range]:
    """Return which of ``size`` rows each of ``count`` adaptively pooled ones reads, as torch chooses them."""
    return [range(part * size // count, -(-(part + 1) * size // count)) for part in range(count)]


def _kernel_and_stride(parts: list[range]) -> tuple[int, int] | None:
    """Return the pool that reads ``parts``, stride 0 for a single one, or None where they are not alike."""
    lengths = {len(each) for each in parts}
    strides = {after.start - before.start for before, after in pairwise(parts)}
    if len(lengths) > 1 or len(strides) > 1 or strides == {0}:
        return None
    return lengths.pop(), max(strides, default=0)


def _shares(parts: list[range], size: int) -> torch.Tensor:
    """Return the means over ``parts`` as a matrix ``[parts, size]``."""
    found = torch.zeros(len(parts), size)
    for row, part in zip(found, parts, strict=True):
        row[part.start : part.stop] = 1 / len(part)
    return found


def mean(reader: Reader, given: Arguments, _: Shape) -> Value:
    """The mean of all places, also of rows and then of columns."""
    return _pooled(reader, given, "mean")


def amax(reader: Reader, given: Arguments, _: Shape) -> Value:
    """The largest of all places."""
    return _pooled(reader, given, "max")


def largest(reader: Reader, given: Arguments, shape: Shape) -> tuple[Value, None]:
    """The largest of one axis, beside where they stand, which nobody reads."""
    if "dim" not in given:
        raise reader.refused("compares two values, or takes one of all", advice="take the largest of all places, amax((2, 3))")
    return amax(reader, given, shape), None


def total(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The sum of all places: their mean, times how many there are."""
    x = image_of(reader, unpadded(reader, given["self"]))
    channels, *places = reader.sizes(x)
    value = mean(reader, given, shape)
    if isinstance(value, PartlyPooled):
        raise reader.refused(f"is taken over axes {given['dim']}", advice="take it over rows and columns, (2, 3)")
    count = torch.full((channels,), float(math.prod(places)))
    return replace(reader.add("norm", (value,), "nf", layer=scaling(count, torch.zeros(channels))), axes=value.axes)


def _pooled(reader: Reader, given: Arguments, kind: Kind) -> Value:
    x = given["self"]
    if not isinstance(x, PartlyPooled):
        x = PartlyPooled(image_of(reader, unpadded(reader, x)).name, "nchw", kind=kind)
    dim = given.get("dim")
    dims = dim if isinstance(dim, list | tuple) else [dim]
    axes = {axis % len(x.axes) for axis in dims if axis is not None}
    left = "".join(
        "1" if axis in axes else letter for axis, letter in enumerate(x.axes) if axis not in axes or given.get("keepdim")
    )
    if not axes or not axes <= {x.axes.find("h"), x.axes.find("w")} or x.kind != kind:
        raise reader.refused(f"is taken over axes {dim}", advice="take it over rows and columns, (2, 3)")
    if "h" in left or "w" in left:
        return replace(x, axes=left)
    return replace(reader.add(kind, (x,), "nf"), axes="nf" if left == "nc" else left)


def pad(reader: Reader, given: Arguments, _: Shape) -> Value:
    """Zeros around an image, for the convolution or pool behind it, or channels of zeros."""
    x = image_of(reader, given["self"])
    amounts = [*given["pad"], *[0] * 8]
    if given.get("mode", "constant") != "constant" or (given.get("value") or 0) != 0 or any(amounts[6:]) or min(amounts) < 0:
        raise reader.refused("pads with something else than zeros")
    left, right, top, bottom, before, behind = amounts[:6]
    if before or behind:
        x = unpadded(reader, x)
        wider = functional.pad(torch.eye(reader.sizes(x)[0]), (0, 0, before, behind))[:, :, None, None]
        x = reader.add("conv", (x,), "nchw", layer=convolution_of(wider, None))
    return replace(x, padding=added(x.padding, (top, left, bottom, right)))


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
    x = unpadded(reader, given.get("self", given.get("input")))
    if x.axes != "nf":
        raise reader.refused("stands in the middle of the network, as in attention")
    return replace(x, axes=ENDED)


def sigmoid(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A sigmoid at the end: the scores before it say which class it is; of one number, the second of two. Or an activation."""
    if len(shape) != 2 or not reader.ends:
        value: Value = activation("sigmoid")(reader, given, shape)
        return value
    reader.ends_with_sigmoids = True
    return last_softmax(reader, given, shape)


def clamp_min(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Relu, as a clamp."""
    return hardtanh(reader, {**given, "max": None}, shape)


def threshold(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Relu, as what becomes 0 up to 0."""
    if given["threshold"] or given["value"]:
        raise reader.refused("puts another number than 0 in place of small ones", advice="use a relu or a clamp")
    return relu(reader, given, shape)


HANDLERS: dict[str, Handler] = {
    **ACTIVATIONS,
    "conv2d": conv2d,
    "linear": linear,
    "addmm": addmm,
    "batch_norm": batch_norm,
    "relu": relu,
    "relu6": hardtanh,
    "prelu": prelu,
    "hardtanh": hardtanh,
    "clamp": hardtanh,
    "clip": hardtanh,
    "threshold": threshold,
    "clamp_min": clamp_min,
    "add": add,
    "sub": sub,
    "rsub": rsub,
    "neg": neg,
    "mul": mul,
    "div": div,
    "cat": cat,
    "concat": cat,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "mean": mean,
    "amax": amax,
    "max": largest,
    "sum": total,
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
    "transpose": transpose,
    "slice": sliced,
    "narrow": narrow,
    "chunk": chunk,
    "channel_shuffle": channel_shuffle,
    "split": split,
    "split_with_sizes": split,
    "select": select,
    "repeat": repeat,
    "expand": expand,
    "expand_as": expand,
    "dropout": same,
    "feature_dropout": same,
    "alpha_dropout": same,
    "feature_alpha_dropout": same,
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
    "sigmoid": sigmoid,
    "layer_norm": _OWN_STATISTICS,
    "group_norm": _OWN_STATISTICS,
    "instance_norm": _OWN_STATISTICS,
    "matmul": _MATRICES,
    "bmm": _MATRICES,
    "einsum": _MATRICES,
    "scaled_dot_product_attention": _MATRICES,
}
"""Operator without its trailing underscore to what reads it."""
