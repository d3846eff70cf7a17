"""Functions of one number and products: what operators of a ``torch.export`` graph become, see ``reading.py``.

Activations are written in many ways, ``x * relu6(x + 3) / 6`` for one. What computes each value from one other value alone,
with numbers that are the same for all channels, becomes one curve over that value; steps that nothing reads fall away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from understudy.network.reading import Reader, Value
from understudy.network.reading_values import Arguments, Handler, Shape, plain
from understudy.program.curves import composed
from understudy.program.real_curves import VALUE


def activation(words: str) -> Handler:
    """Return what reads an operator that is ``words`` after its input."""
    return _parametric(lambda _: words)


def _parametric(words: Callable[[Arguments], str]) -> Handler:
    def handler(reader: Reader, given: Arguments, _: Shape) -> Value:
        x = plain(reader, given.get("self", given.get("input")))
        return bent(reader, x, f"{VALUE} {words(given)}")

    return handler


def bent(reader: Reader, x: Value, curve: str) -> Value:
    """Return ``curve`` of ``x``: one step with lookups and sums with numbers before it; a relu is part of a layer."""
    chain = _chain(reader, x.name)
    steps = [reader.made(name).kind for name, _ in chain[:-1]]
    root, first = chain[steps.index("relu") if "relu" in steps else len(steps)]
    return _lookup(reader, x, root, composed(curve, first))


def scaled(reader: Reader, x: Value, words: str) -> Value | None:
    """Return the curve that ends in ``words``, which are times and plus a number; None where a layer does this as well.

    A curve is what they end where they follow a lookup, or a relu behind times and plus a number, as in hardsigmoid.
    """
    made, chain = reader.made(x.name), _chain(reader, x.name)
    if made.kind == "relu" and len(chain) > 2:
        root, first = chain[2]
        return _lookup(reader, x, root, composed(f"{VALUE} {words}", first))
    if made.kind == "lookup" or x.axes != "nchw":
        return bent(reader, x, f"{VALUE} {words}")
    return None


def product(reader: Reader, first: Any, second: Any) -> Value:
    """Return two values of the network multiplied: a curve where both come of one value, else a product of maps or vectors."""
    x, y = plain(reader, first), plain(reader, second)
    together = joined(reader, x, y, "mul")
    if together is not None:
        return together
    if (x.axes, y.axes) == ("nc11", "nchw"):
        x, y = y, x
    if (x.axes, y.axes) == ("nchw", "nc11") or (x.axes == y.axes and reader.sizes(x) == reader.sizes(y)):
        return reader.add("multiply", (x, y), x.axes)
    raise reader.refused(
        f"multiplies axes {x.axes!r} of {reader.sizes(x)} and {y.axes!r} of {reader.sizes(y)}",
        advice="multiply values of one shape, or a map and one number for each channel",
    )


def joined(reader: Reader, x: Value, y: Value, word: str) -> Value | None:
    """Return ``word`` of ``x`` and ``y`` as one curve, None unless both are curves over one value."""
    if x.axes != y.axes:
        return None
    curves = dict(_chain(reader, x.name))
    for root, curve in _chain(reader, y.name):
        if root in curves:
            return _lookup(reader, x, root, f"{curves[root]} {curve} {word}")
    return None


def power(reader: Reader, given: Arguments, _: Shape) -> Value:
    """The square."""
    if given["exponent"] != 2:
        raise reader.refused(f"has exponent={given['exponent']}", advice="use the square, or an activation")
    return bent(reader, plain(reader, given["self"]), f"{VALUE} square")


def _chain(reader: Reader, name: str) -> list[tuple[str, str]]:
    """Return (value, curve) for every value that ``name`` is a curve over: itself first, then one step after another."""
    found = [(name, VALUE)]
    while name in reader.curves:
        curve, own = found[-1][1], reader.curves[name]
        name = reader.made(name).inputs[0]
        found.append((name, composed(curve, own)))
    return found


def _lookup(reader: Reader, like: Value, root: str, curve: str) -> Value:
    value = reader.add("lookup", (replace(like, name=root),), like.axes, curve=curve)
    reader.curves[value.name] = curve
    return value


ACTIVATIONS: dict[str, Handler] = {
    **{word: activation(word) for word in ("hardswish", "hardsigmoid", "silu", "tanh", "mish", "selu", "abs", "square", "exp")},
    "gelu": _parametric(lambda given: "gelu_tanh" if given["approximate"] == "tanh" else "gelu"),
    "leaky_relu": _parametric(lambda given: f"{given['negative_slope']:.9g} leaky_relu"),
    "rrelu": _parametric(lambda given: f"{(given['lower'] + given['upper']) / 2:.9g} leaky_relu"),
    "elu": _parametric(lambda given: f"{given['alpha']:.9g} elu"),
    "celu": _parametric(lambda given: f"{given['alpha']:.9g} celu"),
    "softplus": _parametric(lambda given: f"{given['beta']:.9g} mul softplus {given['beta']:.9g} div"),
    "log_sigmoid": activation("-1 mul softplus -1 mul"),
    "pow": power,
}
"""Operator without its trailing underscore to what reads it."""
