"""What operators of a ``torch.export`` graph are given: values in the form that they need, and settings; see ``reading.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.network.reading import ENDED, Reader, Value
from understudy.network.steps import Kind

Arguments = dict[str, Any]
Shape = tuple[int, ...]
Handler = Callable[[Reader, Arguments, Shape], Any]
_NOTHING = (0, 0, 0, 0)
POINTS = ("nf", "nc1", "nc11", "n1c", "n11c")
"""Axes of a vector for each image, which may stand among axes of one place."""
CHANNELS_LAST = ("nf", "n1c", "n11c")


@dataclass(frozen=True)
class PartlyPooled(Value):
    """A map whose rows or columns alone were pooled: the name is that of the map, the axes are those that are left.

    Attributes:
        kind: of the pool, which waits for the other axis.
    """

    kind: Kind = "mean"


@dataclass(frozen=True)
class PartlyRead(Value):
    """A map of which some rows or columns alone are read: the name is that of the map, the axes are those that are left whole.

    Attributes:
        apart: how far those that are read are from each other.
    """

    apart: int = 1


def image_of(reader: Reader, x: Any) -> Value:
    """Return ``x``, which must be a map with its channels first."""
    if not isinstance(x, Value) or x.axes != "nchw":
        raise reader.refused(f"reads axes {getattr(x, 'axes', 'of a constant')!r} where it must read channels first, nchw")
    return _not_spread(reader, x)


def unpadded(reader: Reader, given: Any) -> Value:
    """Return the value where no padding waits to be applied."""
    if not isinstance(given, Value):
        raise reader.refused("reads a constant")
    if isinstance(given, PartlyPooled):
        raise reader.refused(f"reads axes {given.axes!r}, of a pool of rows or columns alone", advice="pool both, mean((2, 3))")
    if isinstance(given, PartlyRead):
        raise reader.refused(
            f"reads one row or column in {given.apart} alone", advice="read rows and columns alike, x[:, :, ::2, ::2]"
        )
    if given.axes == ENDED:
        raise reader.refused("reads the probabilities of a softmax in the middle of the network", advice="end with the softmax")
    if given.padding != _NOTHING:
        raise reader.refused("reads a padded image", advice="pad before convolutions and pools alone")
    return _not_spread(reader, given)


def _not_spread(reader: Reader, x: Value) -> Value:
    if x.spread is not None:
        raise reader.refused("reads an image that a pool made larger", advice="flatten it and let a linear layer read it")
    return x


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
