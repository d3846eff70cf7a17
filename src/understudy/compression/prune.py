"""Structured pruning (Fang et al. 2023, "DepGraph"): whole channels go, in every layer that depends on them.

Every family of channels keeps the same share. How many stay is a function of that share alone, so that the size of a pruned
network is known before anything is trained; which ones stay is decided by the weights at the time.
``channels.py`` says which belong together, ``cutting.py`` takes them away with Torch-Pruning.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from understudy.compression.channels import Channels, Family, channels_of, makes_channels
from understudy.compression.cutting import cut
from understudy.errors import missing_extra
from understudy.network.steps import Network

Widths = dict[str, int]
"""Name of a layer to its output channels."""


def widths_of(network: Network) -> Widths:
    """Return the output channels of every layer with weights."""
    layers = network.layers.items()
    return {name: len(layer.weight) for name, layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)}


@torch.no_grad()
def prune(network: Network, kept: float, *, widths: Widths, proved: bool = True) -> None:
    """Take channels away from ``network``, which must not have fewer already.

    The channels whose weights, over all layers of the family, have the largest L2 norms stay (Fang et al. 2023, section 3.3).
    Those that are tied to the pixels or to the answer stay all; a family whose size ``widths`` does not tell stays whole.

    Args:
        network: is changed.
        kept: share of each family that is left, at least one channel.
        widths: of the network before any pruning.
        proved: compare what is left with the network with channels masked, which takes longer than the cut.

    Raises:
        SetupError: Torch-Pruning is not installed.
        VerificationError: what is left does not compute what it did with the others masked.
    """
    pruning = _torch_pruning()
    was_training = network.training
    network.train(False)
    height, width, count = network.shape
    image = torch.rand(1, count, height, width)
    channels = channels_of(network, image)
    stays = torch.ones(1 + max(int(units.max()) for units in channels.units.values()), dtype=torch.bool)
    for family, size in zip(channels.families, channels.sizes(widths), strict=True):
        present = len(family.units)
        outputs = max(family.layers.values())
        # a share of the widths, not of the units: a half is rounded as that of a layer
        wanted = present if size is None else max(1, round(kept * (size * outputs) / outputs))
        if wanted < present:
            least = torch.argsort(_worth(family, channels, stays), stable=True)[: present - wanted]
            stays[family.units[least]] = False
    if not bool(stays.all()):
        cut(channels, stays, pruning=pruning, image=image if proved else None)
    network.train(was_training)


def pruned(network: Network, kept: float) -> Network:
    """Return a pruned copy of ``network``, which a search asks for many times to see its size; see ``prune``."""
    copy = deepcopy(network)
    if kept < 1:
        prune(copy, kept, widths=widths_of(copy), proved=False)
    return copy


def _worth(family: Family, channels: Channels, stays: Tensor) -> Tensor:
    """Return the squares of the weights of each unit of ``family``, over what makes, norms and reads it, summed.

    Weights whose other channel went with an earlier family do not count.
    """
    network = channels.network
    found = torch.zeros(len(stays))
    mine = torch.zeros_like(stays).index_fill(0, family.units, True)
    for step in network.steps:
        layer: Any = network.layer(step)
        made, read = channels.units[step.name], channels.inputs(step)
        if makes_channels(layer) and bool(mine[made].any() | mine[read].any()):
            weight = layer.weight[stays[made]][:, stays[read]]
            found.index_add_(0, made[stays[made]], weight.flatten(1).square().sum(1))
            found.index_add_(0, read[stays[read]], weight.transpose(0, 1).flatten(1).square().sum(1))
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and bool(mine[made].any()):  # noqa: SLF001 - as in cutting.py
            found.index_add_(0, made, layer.weight.square())
    return found[family.units]


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise missing_extra(purpose="the student 'pruned'", extra="prune") from error
    return torch_pruning
