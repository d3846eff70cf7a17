"""Axes that are moved, added and taken away: what operators of a ``torch.export`` graph become, see ``reading.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from understudy.network.reading import BATCH, NORMALIZED, Reader, Value
from understudy.network.reading_values import POINTS, Arguments, Shape, image_of, plain, unpadded

_MAPS = ("nchw", "nhwc", "nhw")


def flatten(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Views, reshapes and flattenings: places or a single place as a vector, and a vector of the input as an image."""
    spread = given["self"].spread if isinstance(given["self"], Value) else None
    if spread is not None and len(shape) == 2:
        return replace(reader.flattened(replace(given["self"], spread=None)), spread=spread)
    x = unpadded(reader, given["self"])
    if x.axes in POINTS:
        axes = _around_a_vector(reader.sizes(x)[0], shape)
        if axes is not None and (x.columns is None or axes == x.axes):
            return replace(x, axes=axes)
    if x.axes in _MAPS and len(shape) == 2:
        return reader.flattened(x)
    if x.axes in _MAPS and len(shape) == 4 and reader.shape[2] == 1 and x.name == NORMALIZED:
        return replace(x, axes="nchw" if shape[1] == 1 else "nhwc")
    if x.axes == "nf" and len(shape) == 4 and reader.steps[-1].kind == "flatten" and len(reader.steps) == 2:
        height, width, channels = reader.shape
        for axes, wanted in (("nhwc", (height, width, channels)), ("nchw", (channels, height, width))):
            if tuple(shape[1:]) == wanted and (axes == "nhwc" or channels == 1):
                reader.steps.pop()
                return Value(NORMALIZED, axes)
    raise reader.refused(f"makes {tuple(shape)} of axes {x.axes!r}", advice="flatten(1) the image, and nothing else of it")


def _around_a_vector(count: int, shape: Shape) -> str | None:
    """Return the axes of a vector of ``count`` numbers for each image in ``shape``, None where it is no such shape."""
    if len(shape) == 2:
        return "nf" if shape == (BATCH, count) else None
    first = {(BATCH, count, *[1] * behind): f"nc{'1' * behind}" for behind in (1, 2)}
    last = {(BATCH, *[1] * before, count): f"n{'1' * before}c" for before in (1, 2)}
    return {**last, **first}.get(tuple(shape))


def unsqueeze(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A vector gets axes of one place; a grey image without an axis for its channels gets one."""
    x, axis = unpadded(reader, given["self"]), given["dim"] % len(shape)
    if x.axes in POINTS:
        return _turned(reader, x, shape, lambda axes: axes[:axis] + "1" + axes[axis:])
    if x.axes != "nhw" or axis not in (1, 3):
        raise reader.refused(f"gives axes {x.axes!r} one more")
    return replace(x, axes="nchw" if axis == 1 else "nhwc")


def squeeze(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """A single place loses its rows and columns."""
    x = unpadded(reader, given["self"])
    if len(shape) == len(x.axes):
        return x
    if x.axes in ("nchw", "nhwc") and reader.sizes(x)[1:] == (1, 1):
        x = replace(reader.flattened(x), axes=x.axes.replace("h", "1").replace("w", "1"), columns=None)
    if x.axes in POINTS:
        dim = given.get("dim")
        dims = range(len(x.axes)) if dim is None else dim if isinstance(dim, list | tuple) else [dim]
        gone = {each % len(x.axes) for each in dims}
        return _turned(reader, x, shape, lambda axes: "".join(a for i, a in enumerate(axes) if i not in gone or a != "1"))
    raise reader.refused(f"takes an axis away from {x.axes!r}")


def select(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """The single place of a vector, read by its number."""
    x = unpadded(reader, given["self"])
    axis = given["dim"] % len(x.axes)
    if x.axes not in POINTS or x.axes[axis] != "1":
        raise reader.refused(f"reads a part of axes {x.axes!r}", advice="pool all places, and read all channels")
    return _turned(reader, x, shape, lambda axes: axes[:axis] + axes[axis + 1 :])


def permute(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Axes in another order."""
    return _moved(reader, unpadded(reader, given["self"]), shape, given["dims"])


def transpose(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """Two axes exchanged."""
    order = list(range(len(shape)))
    first, second = given["dim0"] % len(shape), given["dim1"] % len(shape)
    order[first], order[second] = second, first
    return _moved(reader, unpadded(reader, given["self"]), shape, order)


def _moved(reader: Reader, x: Value, shape: Shape, order: list[int]) -> Value:
    if x.axes in POINTS:
        return _turned(reader, x, shape, lambda axes: "".join(axes[each] for each in order))
    if x.axes not in _MAPS:
        raise reader.refused(f"moves axes {x.axes!r}")
    axes = "".join(x.axes[each] for each in order)
    if axes not in _MAPS:
        raise reader.refused(f"makes axes {axes!r} of {x.axes!r}")
    return replace(x, axes=axes)


def _turned(reader: Reader, x: Value, shape: Shape, turn: Callable[[str], str]) -> Value:
    """Return a vector whose axes ``turn`` changed, which then has ``shape``."""
    axes = turn(x.axes.replace("f", "c"))
    axes = "nf" if axes == "nc" else axes
    if axes not in POINTS or len(axes) != len(shape) or (x.columns is not None and axes != x.axes):
        raise reader.refused(
            f"makes axes {axes!r} of {x.axes!r}", advice="keep the images first, and add or take away single places alone"
        )
    return replace(x, axes=axes)


def repeat(reader: Reader, given: Arguments, _: Shape) -> Value:
    """A map of one channel, as many times as a network wants channels."""
    x = plain(reader, given["self"])
    return _channels_again(reader, x, [1] * (len(x.axes) - len(given["repeats"])) + list(given["repeats"]))


def expand(reader: Reader, given: Arguments, shape: Shape) -> Value:
    """One number for each channel, written for every place: products do so themselves. Or a grey map as several channels."""
    x = plain(reader, given["self"])
    if reader.unchanged or (x.axes == "nc11" and shape[1] == reader.sizes(x)[0]):
        return x
    if x.axes == "nchw" and tuple(shape[2:]) == reader.sizes(x)[1:]:
        return _channels_again(reader, x, [1, shape[1] // reader.sizes(x)[0], 1, 1])
    raise reader.refused(f"repeats axes {x.axes!r}")


def _channels_again(reader: Reader, x: Value, times: list[int]) -> Value:
    if all(each == 1 for each in times):
        return x
    image = image_of(reader, x)
    if len(times) != 4 or times[0] != 1 or times[2:] != [1, 1]:
        raise reader.refused(f"repeats axes {times} times", advice="repeat channels alone, x.repeat(1, 3, 1, 1)")
    return reader.add("concat", (image,) * times[1], "nchw")
