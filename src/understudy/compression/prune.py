"""Structured pruning with Torch-Pruning (Fang et al. 2023, "DepGraph"): whole channels go, in every layer that depends on them.

Every group of channels keeps the same share. How many stay is a function of that share alone, so that the size of a pruned
network is known before anything is trained; which ones stay is decided by the weights at the time.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from understudy.errors import missing_extra
from understudy.network.steps import PIXELS, Network, Positions, Step, run_step

Widths = dict[str, int]
"""Name of a layer to its output channels."""


def widths_of(network: Network) -> Widths:
    """Return the output channels of every layer with weights."""
    return {name: len(layer.weight) for name, layer in _layers(network)}


def prune(network: Network, kept: float, *, widths: Widths) -> None:
    """Take channels away from ``network``, which must not have fewer already.

    The channels whose weights, over all layers of the group, have the largest L2 norms stay (Fang et al. 2023, section 3.3).

    Args:
        network: is changed.
        kept: share of each group's ``widths`` that is left, at least one channel.
        widths: of the network before any pruning.

    Raises:
        SetupError: Torch-Pruning is not installed.
    """
    pruning = _torch_pruning()
    importance = pruning.importance.GroupMagnitudeImportance(p=2)
    names = {layer: name for name, layer in _layers(network)}
    was_training = network.training
    network.train(False)
    height, width, channels = network.shape
    graph = pruning.DependencyGraph().build_dependency(
        network,
        example_inputs=torch.rand(1, channels, height, width),
        forward_fn=_outline,
        unwrapped_parameters=[(each.table, 1) for each in network.layers.values() if isinstance(each, Positions)],
    )
    heads = _heads(network)
    for group in graph.get_all_groups(ignored_layers=_answering(network), root_module_types=[nn.Conv2d, nn.Linear]):
        root: Any = group[0].dep.target.module
        present = graph.get_out_channels(root)
        # of every head the same channels go, so that heads keep equal widths
        outputs = [each.target.module for each, _ in group if graph.is_out_channel_pruning_fn(each.handler)]
        count = max(heads.get(module, 1) for module in outputs)
        wanted = max(1, round(kept * widths[names[root]] / count))
        if wanted < present // count:
            worth = importance(group).reshape(count, -1).sum(dim=0)
            least = torch.argsort(worth, stable=True)[: present // count - wanted]
            every = (torch.arange(count)[:, None] * (present // count) + least).flatten().tolist()
            graph.get_pruning_group(root, group[0].dep.handler, every).prune()
    network.train(was_training)


def pruned(network: Network, kept: float) -> Network:
    """Return a pruned copy of ``network``; see ``prune``."""
    copy = deepcopy(network)
    if kept < 1:
        prune(copy, kept, widths=widths_of(copy))
    return copy


def _layers(network: Network) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in network.layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _outline(network: Network, pixels: Tensor) -> Tensor:
    """Return what ties channels together in ``network`` as a sum, and nothing else, for the graph of dependencies.

    An attention pairs each channel of its queries with one of the keys and, so that heads keep one width, of the values.
    """
    values = {PIXELS: pixels}
    for step in network.steps:
        inputs = [values[name] for name in step.inputs]
        layer = network.layer(step)
        match step.kind:
            case "attention":
                found = inputs[0] + inputs[1] + inputs[2]
            case "standardize":
                found = inputs[0]
            case "positions":
                found = inputs[0].mean(dim=(2, 3), keepdim=True) + cast(Positions, layer).table
            case "place":
                found = functional.adaptive_avg_pool2d(inputs[0], 1).flatten(1)
            case _:
                found = run_step(step, layer, inputs)
        values[step.name] = found
    return values[network.steps[-1].name]


def _heads(network: Network) -> dict[nn.Module, int]:
    """Return layer to the heads of the attention that reads it."""
    by_name = {step.name: step for step in network.steps}
    found: dict[nn.Module, int] = {}
    waiting = [(by_name[name], step.heads) for step in network.steps if step.kind == "attention" for name in step.inputs]
    while waiting:
        step, heads = waiting.pop()
        layer = network.layer(step)
        if isinstance(layer, nn.Conv2d | nn.Linear) and step.kind != "norm":
            found[layer] = math.lcm(heads, found.get(layer, 1))
        if not isinstance(layer, nn.Conv2d) or layer.groups > 1:
            waiting += [(by_name[name], heads) for name in step.inputs if name in by_name]
    return found


def _answering(network: Network) -> list[nn.Module]:
    """Return the layers whose outputs are the classes: the last one, seen through what has no weights."""
    by_name = {step.name: step for step in network.steps}
    found: list[nn.Module] = []
    waiting: list[Step] = [network.steps[-1]]
    while waiting:
        step = waiting.pop()
        layer = network.layer(step)
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1):
            found.append(layer)
        else:
            waiting += [by_name[name] for name in step.inputs if name in by_name]
    return found


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise missing_extra(purpose="the student 'pruned'", extra="prune") from error
    return torch_pruning
