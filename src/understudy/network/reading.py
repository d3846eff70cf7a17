"""A torch module of the user as a ``Network``: its ``torch.export`` graph, step by step; what is not known is refused by name.

A step that cannot be read is named with the module that it belongs to and the line that calls it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from understudy.errors import InputError
from understudy.network.reading_graph import ExportedGraph, exported_graph, float_copy
from understudy.network.steps import PIXELS, Kind, Network, Normalize, Scaling, Step, run_step
from understudy.teachers.image_input import Layout, PixelRange

BATCH = 2
"""Images of the example that a module is exported with."""
NORMALIZED = "normalized"
"""The images as the user's module is given them."""
ENDED = "nf, ended"
"""Axes of probabilities: nothing reads them."""
MOST_ANSWERS = 256
"""Classes of a network that ends with something else than a layer, which a layer of as many inputs as outputs then follows."""
TOLERANCE = 1e-3
"""Largest difference of a logit between a module and its steps, as a share of the largest logit."""


ADVICE = "replace it in the module, or use another student, which learns from the network as it is: leave --student pruned out"


@dataclass(frozen=True)
class Taken:
    """How a module takes images, and how its answer is read.

    Attributes:
        layout: order of the axes.
        pixel_range: what is done to pixels.
        columns: for each class, its column in the answer; an answer of one column has 0 before it.
    """

    layout: Layout
    pixel_range: PixelRange
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """What a node of the graph gives.

    Attributes:
        name: of the value in the network.
        axes: of each axis of the tensor what it is: ``n``, ``c``, ``h`` and ``w``, or ``n`` and ``f`` for a vector.
        padding: zeros that the next convolution or pool adds: top, left, bottom, right.
        columns: of a vector made of places in another order than channels first: for each of its numbers the place in that.
        spread: of a map that a pool makes larger, or its vector: means of its rows and of its columns, float32
            ``[rows made, rows]`` and ``[columns made, columns]``, which the linear layer behind it takes into its weights.
    """

    name: str
    axes: str
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    columns: torch.Tensor | None = None
    spread: tuple[torch.Tensor, torch.Tensor] | None = None


def read_network(module: nn.Module, taken: Taken, *, shape: tuple[int, int, int], name: str) -> Network:
    """Return ``module`` as steps; a copy of its weights, nothing of it is changed.

    Args:
        module: the user's network.
        taken: how it takes images.
        shape: height, width and channels of an image.
        name: of the network, for messages.

    Raises:
        InputError: a step that has no counterpart, by its name and place.
        VerificationError: the steps compute something else.
    """
    from understudy.network.reading_check import check  # they import what is above
    from understudy.network.reading_steps import HANDLERS

    source = float_copy(module, name=name)
    graph = exported_graph(source, _example(taken, shape), name=name)
    reader = Reader(name, taken, shape)
    values: dict[Any, Any] = {}
    needed = _needed(graph)
    for node in graph.nodes:
        if node.op == "placeholder":
            constant = graph.given[node]
            values[node] = reader.begin() if constant is None else constant.clone()
        elif node.op == "call_function" and node in needed:
            values[node] = _called(reader, node, values, HANDLERS)
        else:
            values[node] = None  # nobody needs it, or it is a graph inside of this one, whose operator is refused
    reader.finish(values.get(graph.answer))
    network = Network(reader.steps, reader.layers, shape=shape).train(False)
    check(network, source, graph, taken, name=name, sigmoids=reader.ends_with_sigmoids)
    return network


def _example(taken: Taken, shape: tuple[int, int, int]) -> torch.Tensor:
    height, width, channels = shape
    sizes = {"NCHW": (channels, height, width), "NHWC": shape, "NHW": (height, width), "flat": (height * width * channels,)}
    return torch.zeros(BATCH, *sizes[taken.layout])


def _needed(graph: ExportedGraph) -> set[Any]:
    """Return the nodes that the answer comes from, or that change what another reads; the others compute for nobody."""
    needed: set[Any] = {graph.answer}
    for node in reversed(graph.nodes):
        changes = str(getattr(node.target, "__name__", "")).partition(".")[0].endswith("_")
        if node.op == "call_function" and (node in needed or changes):
            needed.update([node, *node.all_input_nodes])
    return needed


def _called(reader: Reader, node: Any, values: dict[Any, Any], handlers: dict[str, Callable[..., Any]]) -> Any:
    def found(argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return values[argument]
        if isinstance(argument, list | tuple):
            return type(argument)(found(each) for each in argument)
        return argument

    from understudy.network.reading_token_layers import node_values, reads_tokens, token_step  # they import what is below

    arguments, named = found(node.args), {key: found(value) for key, value in node.kwargs.items()}
    if not any(isinstance(values[each], Value) for each in node.all_input_nodes):
        return node.target(*arguments, **named)  # of constants alone
    packet = getattr(node.target, "overloadpacket", node.target)
    word = packet.__name__ if packet is not operator.getitem else "getitem"
    schema = getattr(node.target, "_schema", None)
    if schema is not None:  # every argument by its name, defaults too
        for index, argument in enumerate(schema.arguments):
            if index < len(arguments):
                named[argument.name] = arguments[index]
            elif argument.name not in named and argument.has_default_value():
                named[argument.name] = argument.default_value
    reader.at(node, word)
    if reads_tokens(word.removesuffix("_"), node_values(arguments), node.meta["val"]):
        result = token_step(reader, word, node, arguments, named)
    else:
        handler = handlers.get(word.removesuffix("_"))
        if handler is None or schema is None:
            raise reader.refused("is not known")
        result = handler(reader, named, shape_of_node(node))
    if word.endswith("_") and node.args:
        values[node.args[0]] = result  # it was changed in place
    return result


def shape_of_node(node: Any) -> tuple[int, ...]:
    """Return the shape of what ``node`` gives, of several tensors that of the first."""
    given = node.meta["val"]
    return tuple((given[0] if isinstance(given, list | tuple) else given).shape)


class Reader:
    """Collects the steps of one network."""

    def __init__(self, name: str, taken: Taken, shape: tuple[int, int, int]) -> None:
        self.name, self.taken, self.shape = name, taken, shape
        self.steps: list[Step] = []
        self.layers: dict[str, nn.Module] = {}
        height, width, channels = shape
        self._examples = {PIXELS: torch.zeros(BATCH, channels, height, width)}
        self.parts: dict[str, tuple[str, ...]] = {}
        """Values whose channels are taken apart, and the values that hold them beside each other."""
        self.curves: dict[str, str] = {}
        """Steps whose values each come of one value alone, as curves over what they read."""
        self.ends_with_sigmoids = False
        """Whether what was left out at the end is a sigmoid of every class."""
        self._word = self._where = self._line = ""
        self._node: Any = None

    def at(self, node: Any, word: str) -> None:
        """Remember the node that is read now."""
        self._node = node
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        self._where = stack[-1][0] if stack else ""
        lines = re.findall(r'File "(.*?)", line (\d+)', node.meta.get("stack_trace") or "")
        # the last line outside of torch is the user's
        own = [(path, line) for path, line in lines if "/torch/nn/" not in path] or lines
        self._line = f"{own[-1][0].rpartition('/')[2]}, line {own[-1][1]}" if own else "an unknown line"
        self._word = word

    def refused(self, why: str, *, advice: str | None = None) -> InputError:
        """Return the error for the node that is read now."""
        place = f"module {self._where!r}" if self._where else "forward() of the network itself"
        return InputError(
            f"a network that is pruned is made of steps that every format computes: received op={self._word!r} in {place} of "
            f"{self.name!r} ({self._line}), which {why}; {advice or ADVICE}"
        )

    @property
    def alone(self) -> bool:
        """Whether nothing else reads what the node reads that is read now."""
        return all(len(each.users) == 1 for each in self._node.all_input_nodes)

    @property
    def ends(self) -> bool:
        """Whether the node that is read now gives the network's answer."""
        return all(user.op == "output" for user in self._node.users)

    @property
    def unchanged(self) -> bool:
        """Whether what the node gives that is read now has the shape of what it reads first."""
        return shape_of_node(self._node) == shape_of_node(self._node.all_input_nodes[0])

    def made(self, name: str) -> Step:
        """Return the step that gives the value ``name``."""
        return next(step for step in self.steps if step.name == name)

    def begin(self) -> Value:
        """Return the images, after what is done to their pixels."""
        channels = self.shape[2]
        made = self.taken.pixel_range
        deviation = np.broadcast_to(np.asarray(made.deviation, np.float64), channels)
        mean = np.broadcast_to(np.asarray(made.mean, np.float64), channels)
        scale = torch.tensor(255 / made.divisor / deviation, dtype=torch.float32)
        shift = torch.tensor(-mean / deviation, dtype=torch.float32)
        step = Step("normalize", NORMALIZED, (PIXELS,), "the input", reversed_channels=made.reversed_channels)
        self._append(step, Normalize(scale, shift))
        axes = {"NCHW": "nchw", "NHWC": "nhwc", "NHW": "nhw", "flat": "nf"}[self.taken.layout]
        if axes != "nf":
            return Value(step.name, axes)
        return self.flattened(Value(step.name, "nhwc"))

    def add(self, kind: Kind, inputs: tuple[Value, ...], axes: str, *, layer: nn.Module | None = None, **fields: Any) -> Value:
        """Append a step and return its value."""
        name = f"{re.sub(r'[^A-Za-z0-9_]+', '_', self._where) or kind}_{len(self.steps)}"
        self._append(Step(kind, name, tuple(each.name for each in inputs), self._where or "forward()", **fields), layer)
        return Value(name, axes)

    def before(self, step: Step, inputs: tuple[str, ...], layer: nn.Module | None) -> str:
        """Add ``step`` with other inputs and another layer as soon as these are there, and return the name of what it gives."""
        made = replace(step, name=f"{step.name}_part_{len(self.steps)}", inputs=inputs)
        known = [each.name for each in self.steps]
        self._append(made, layer, at=1 + max(known.index(each) for each in inputs if each != PIXELS))
        return made.name

    def _append(self, step: Step, layer: nn.Module | None, *, at: int | None = None) -> None:
        self.steps.insert(len(self.steps) if at is None else at, step)
        if layer is not None:
            self.layers[step.name] = layer.train(False)
        self._examples[step.name] = run_step(step, layer, [self._examples[name] for name in step.inputs])

    def sizes(self, value: Value) -> tuple[int, ...]:
        """Return channels, rows and columns of ``value``, or the length of a vector."""
        return tuple(self._examples[value.name].shape[1:])

    def width(self, name: str) -> int:
        """Return the channels of the value ``name``, or its length."""
        return self._examples[name].shape[1]

    def flattened(self, x: Value) -> Value:
        """Return the places of ``x`` as a vector, and which of channels first each number of the user's vector is."""
        flat = self.add("flatten", (x,), "nf")
        if x.axes in ("nchw", "nhw"):
            return flat
        channels, height, width = self.sizes(x)
        order = torch.arange(height * width * channels).reshape(channels, height, width).permute(1, 2, 0)
        return replace(flat, columns=order.flatten())

    def finish(self, logits: Any) -> None:
        """Put the columns of the answer in the order of the classes, and take out the steps that do not lead to it.

        Raises:
            InputError: the answer is no vector of a layer or pool.
        """
        self._word, self._where = "output", ""
        if not isinstance(logits, Value) or logits.axes.replace("1", "") not in ("nf", "nc", ENDED):
            raise self.refused("is not one row of logits for each image", advice="end the network with a linear layer")
        self._read_parts_beside_each_other()
        last = self._over_all_places(self.made(logits.name))
        columns = torch.tensor(self.taken.columns)
        if last.kind != "linear" and (last.kind != "mean" or not torch.equal(columns, torch.arange(len(columns)))):
            last = self._answered(last)
        if last.kind == "linear":
            self.layers[last.name] = _ordered(self.layers[last.name], columns)
        self._forget_unread(last.name)

    def _answered(self, last: Step) -> Step:
        """Return a linear layer that hands on what ``last`` gives: programs end with the sums of one, or with a pool."""
        count = self.width(last.name)
        if count > MOST_ANSWERS:
            raise self.refused(f"comes from {last.kind!r}, for {count} classes", advice="end the network with a linear layer")
        answer = Value(last.name, "nf")
        name = self.add("linear", (answer,), "nf", layer=linear_of(torch.eye(count), None)).name
        return self.made(name)

    def _read_parts_beside_each_other(self) -> None:
        """Let what still reads all channels of a value read its parts, so that no layer is there twice."""
        for name, parts in self.parts.items():
            step = self.made(name)
            self.steps[self.steps.index(step)] = Step("concat", name, parts, step.where)
            self.layers.pop(name, None)

    def _over_all_places(self, last: Step) -> Step:
        """Return the last step: where it flattens a convolution over all places, the linear layer that this is."""
        made = self.made(last.inputs[0]) if last.kind == "flatten" else last
        layer: Any = self.layers.get(made.name)
        if made.kind != "conv" or layer.groups > 1 or any(made.padding):
            return last
        if (self._examples[made.name].shape[2:], self._examples[made.inputs[0]].shape[2:]) != ((1, 1), layer.kernel_size):
            return last
        del self.layers[made.name]
        self.steps[self.steps.index(made)] = Step("flatten", made.name, made.inputs, last.where)
        linear = Step("linear", last.name, (made.name,), made.where)
        self.steps[self.steps.index(last)] = linear
        self.layers[last.name] = linear_of(layer.weight.detach().flatten(1), layer.bias)
        return linear

    def _forget_unread(self, last: str) -> None:
        """Take out the steps that the value ``last`` does not need: parts of what became one curve."""
        needed = {last}
        for step in reversed(self.steps):
            if step.name in needed:
                needed.update(step.inputs)
        self.steps = [step for step in self.steps if step.name in needed]
        self.layers = {name: layer for name, layer in self.layers.items() if name in needed}


def _ordered(layer: Any, columns: torch.Tensor) -> nn.Linear:
    """Return the last layer with its outputs in the order ``columns``, an output 0 put before a single one."""
    weight = layer.weight.detach()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    if len(weight) == 1:
        weight, bias = torch.cat([weight * 0, weight]), torch.cat([bias * 0, bias])
    return linear_of(weight[columns], bias[columns])


def linear_of(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """Return a linear layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def convolution_of(weight: torch.Tensor, bias: torch.Tensor | None, *, stride: int = 1) -> nn.Conv2d:
    """Return a convolution over all channels with these weights ``[O, I, rows, columns]``."""
    outputs, inputs, rows, columns = weight.shape
    layer = nn.Conv2d(inputs, outputs, (rows, columns), stride, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer


def scaling(scale: torch.Tensor, shift: torch.Tensor) -> Scaling:
    """Return ``x * scale + shift`` for each channel as a layer that is trained and pruned."""
    layer = Scaling(len(scale))
    with torch.no_grad():
        layer.weight.copy_(scale)
        layer.bias.copy_(shift)
    return layer
