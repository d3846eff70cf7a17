"""Structured pruning with Torch-Pruning (Fang et al. 2023, "DepGraph"): whole channels go, in every layer that depends on them.

Every group of channels keeps the same share. How many stay is a function of that share alone, so that the size of a pruned
network is known before anything is trained; which ones stay is decided by the weights at the time.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from understudy.errors import missing_extra
from understudy.network.steps import Network, Step

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
    graph = pruning.DependencyGraph().build_dependency(network, example_inputs=torch.rand(1, channels, height, width))
    for group in graph.get_all_groups(ignored_layers=_answering(network), root_module_types=[nn.Conv2d, nn.Linear]):
        root: Any = group[0].dep.target.module
        present = graph.get_out_channels(root)
        wanted = max(1, round(kept * widths[names[root]]))
        if wanted < present:
            least = torch.argsort(importance(group), stable=True)[: present - wanted].tolist()
            graph.get_pruning_group(root, group[0].dep.handler, least).prune()
    network.train(was_training)


def pruned(network: Network, kept: float) -> Network:
    """Return a pruned copy of ``network``; see ``prune``."""
    copy = deepcopy(network)
    if kept < 1:
        prune(copy, kept, widths=widths_of(copy))
    return copy


def _layers(network: Network) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in network.layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]


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
