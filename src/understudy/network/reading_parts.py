"""Some channels of a value: what grouped convolutions, chunks, splits and slices become; see ``reading.py``.

No step takes channels apart. A layer that gives all of them is as well several layers that give some each, and what works on
each channel for itself works on every part for itself. So what makes the channels is cut, back to such layers, and what still
reads all of them reads the parts beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from understudy.network.reading import Reader, Value, convolution_of
from understudy.network.reading_values import Arguments, PartlyRead, Shape, image_of, plain, unpadded
from understudy.network.steps import Scaling, Step

_ALONG = frozenset(("conv", "norm", "relu", "lookup", "add", "multiply", "max_pool", "average_pool", "mean", "max"))
"""Kinds of steps that give each channel from the same one of what they read; of convolutions those of each channel."""


def parts_of(reader: Reader, x: Value, sizes: Sequence[int]) -> list[Value]:
    """Return the channels of ``x`` as values of ``sizes`` channels each, in their order.

    Raises:
        InputError: a step that makes them cannot be cut.
    """
    return [replace(x, name=name) for name in _cut(reader, x.name, sizes)]


def chunk(reader: Reader, given: Arguments, _: Shape) -> list[Value]:
    """Parts of equal size, the last may be smaller."""
    x, count = _along_channels(reader, given)
    return parts_of(reader, x, _equal(count, -(-count // given["chunks"])))


def split(reader: Reader, given: Arguments, _: Shape) -> list[Value]:
    """Parts of a size, or of several sizes."""
    x, count = _along_channels(reader, given)
    wanted: Any = given["split_sizes"] if "split_sizes" in given else given["split_size"]
    return parts_of(reader, x, _equal(count, wanted) if isinstance(wanted, int) else wanted)


def sliced(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A slice: everything, as ``x[:, :, None]`` has one for each axis, channels beside each other, or places of a stride."""
    if reader.unchanged:
        return given["self"] if isinstance(given["self"], PartlyRead) else unpadded(reader, given["self"])
    if isinstance(given["self"], Value) and given["self"].axes in ("nchw", "nc w", "nch ") and given["dim"] % 4 >= 2:
        return _thinned(reader, given, shape)
    x, count = _along_channels(reader, given)
    if given.get("step", 1) != 1:
        raise reader.refused(f"reads channels that are {given['step']} apart", advice="read some that stand beside each other")
    width = shape[given["dim"] % len(shape)]
    begin = range(count)[given["start"] or 0 :].start
    sizes = [begin, width, count - begin - width]
    return parts_of(reader, x, [size for size in sizes if size])[1 if begin else 0]


def narrow(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A slice, by where it begins."""
    return sliced(reader, {**given, "step": 1}, shape)


def channel_shuffle(reader: Reader, given: Arguments, _: Shape) -> Value:
    """The first channel of each group, then the second of each, and so on."""
    x = image_of(reader, unpadded(reader, given["self"]))
    return picked(reader, x, torch.arange(reader.sizes(x)[0]).reshape(given["groups"], -1).T.flatten())


def picked(reader: Reader, x: Value, channels: Tensor) -> Value:
    """Return ``channels`` of a map, int64 numbers of them, in this order, which a layer hands on: no step moves them.

    It is pruned as others are, and what takes a part of it apart takes a part of the layer.
    """
    handed_on = torch.eye(reader.sizes(x)[0])[channels][:, :, None, None]
    return reader.add("conv", (x,), "nchw", layer=convolution_of(handed_on, None))


def _thinned(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Rows or columns that are some places apart; of both it is a pool of single places (He et al. 2016, shortcuts A)."""
    x, axis, apart = given["self"], given["dim"] % 4, given.get("step", 1)
    rows_and_columns = reader.sizes(x)[1:]
    whole = shape[axis] == -(-rows_and_columns[axis - 2] // apart)
    if apart == 1 or not whole or given["start"] not in (None, 0) or x.axes[axis] == " ":
        raise reader.refused(
            "reads a part of an image", advice="read all places, or every second row and column, x[:, :, ::2, ::2]"
        )
    if not isinstance(x, PartlyRead):
        left = x.axes[:axis] + " " + x.axes[axis + 1 :]
        return PartlyRead(plain(reader, x).name, left, apart=apart)
    if x.apart != apart:
        raise reader.refused(f"reads one place in {x.apart} along one axis and one in {apart} along the other")
    return reader.add("max_pool", (Value(x.name, "nchw"),), "nchw", kernel=(1, 1), stride=apart)


def _along_channels(reader: Reader, given: Arguments) -> tuple[Value, int]:
    """Return the value whose channels are taken apart, and how many it has."""
    x = plain(reader, given["self"])
    axes = x.axes.replace("f", "c")
    if given["dim"] % len(axes) != axes.find("c"):
        raise reader.refused(f"reads a part of axes {x.axes!r}", advice="read all of them, or a part of the channels")
    return x, reader.sizes(x)[0]


def _equal(count: int, size: int) -> list[int]:
    return [min(size, count - begin) for begin in range(0, count, size)]


def _cut(reader: Reader, name: str, sizes: Sequence[int]) -> list[str]:
    """Return names of values that hold the channels of ``name`` in parts."""
    if len(sizes) == 1:
        return [name]
    step = reader.made(name)
    if name in reader.parts or step.kind == "concat":
        return _regrouped(reader, step, reader.parts.get(name, step.inputs), sizes)
    layer: Any = reader.layers.get(name)
    makes_channels = step.kind == "linear" or (step.kind == "conv" and layer.groups == 1)
    if not makes_channels and step.kind not in _ALONG:
        raise reader.refused(
            f"takes a part of the channels of {step.kind!r} ({step.where!r})",
            advice="take it of what a layer gives, or use a layer for each part",
        )
    # one channel that is multiplied with many is read by every part
    whole = [makes_channels or reader.width(each) != sum(sizes) for each in step.inputs]
    read = [[each] * len(sizes) if one else _cut(reader, each, sizes) for each, one in zip(step.inputs, whole, strict=True)]
    begins = [0, *accumulate(sizes)]
    found = [
        reader.before(step, inputs, None if layer is None else _rows(layer, slice(*ends)))
        for inputs, ends in zip(zip(*read, strict=True), pairwise(begins), strict=True)
    ]
    reader.parts[name] = tuple(found)
    return found


def _regrouped(reader: Reader, step: Step, beside: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Return the parts of what stands ``beside`` each other in the value of ``step``, each cut where a part ends in it."""
    ends, begin = list(accumulate(sizes)), 0
    found: list[list[str]] = [[] for _ in sizes]
    for name in beside:
        width = reader.width(name)
        inside = [begin, *(end for end in ends if begin < end < begin + width), begin + width]
        pieces = _cut(reader, name, [after - before for before, after in pairwise(inside)])
        for piece, (first, _) in zip(pieces, pairwise(inside), strict=True):
            found[sum(end <= first for end in ends)].append(piece)
        begin += width
    whole = replace(step, kind="concat")
    return [each[0] if len(each) == 1 else reader.before(whole, tuple(each), None) for each in found]


def _rows(layer: Any, rows: slice) -> nn.Module:
    """Return ``layer`` with some of its outputs."""
    count = rows.stop - rows.start
    found: nn.Module
    match layer:
        case nn.Linear():
            found = nn.Linear(layer.in_features, count, bias=layer.bias is not None)
        case nn.Conv2d():
            inputs, groups = (layer.in_channels, 1) if layer.groups == 1 else (count, count)
            of_places: Any = {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
            found = nn.Conv2d(inputs, count, groups=groups, bias=layer.bias is not None, **of_places)
        case Scaling():
            found = Scaling(count)
        case _:
            found = type(layer)(count, eps=layer.eps)
    found.load_state_dict({name: values[rows] if values.dim() else values for name, values in layer.state_dict().items()})
    return found
