"""Whole channels taken out of the layers of a network, and the proof on an image that nothing else was changed."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from understudy.compression.channels import Channels, makes_channels
from understudy.errors import VerificationError
from understudy.network.steps import PIXELS, Network, Positions, run_step

TOLERANCE = 1e-6
"""Largest difference in float64, as a share of a value's largest number: sums over fewer channels round otherwise."""
SMALL = 1e-6
"""What a layer makes is at least this share of what it reads: less is left of numbers that cancel out, and is rounding."""


def cut(channels: Channels, stays: Tensor, *, pruning: Any, image: Tensor | None) -> None:
    """Take the units out of the network of ``channels`` that do not stay.

    Args:
        channels: of the network, which is changed.
        stays: whether each unit stays.
        pruning: Torch-Pruning.
        image: what the proof is run on; None for none.

    Raises:
        VerificationError: the network that is left does not compute what it did with these channels masked.
    """
    network = channels.network
    whole = None if image is None else deepcopy(network)
    for step in network.steps:
        _cut_layer(
            network.layer(step),
            _places(~stays[channels.inputs(step)]),
            _places(~stays[channels.units[step.name]]),
            pruning,
        )
    if whole is not None and image is not None:
        need_masked(whole, network, {name: stays[units] for name, units in channels.units.items()}, image=image)


def _cut_layer(layer: Any, inputs: list[int], outputs: list[int], pruning: Any) -> None:
    """Take away the places ``inputs`` and ``outputs`` of ``layer``; where it works on each channel alone they are the same."""
    match layer:
        case nn.Conv2d() if makes_channels(layer):
            pruning.prune_conv_out_channels(layer, outputs)
            pruning.prune_conv_in_channels(layer, inputs)
        case nn.Conv2d():
            pruning.prune_depthwise_conv_out_channels(layer, outputs)
        case nn.Linear():
            pruning.prune_linear_out_channels(layer, outputs)
            pruning.prune_linear_in_channels(layer, inputs)
        case nn.modules.batchnorm._BatchNorm():  # noqa: SLF001 - the base of those for maps and for vectors
            pruning.prune_batchnorm_out_channels(layer, outputs)
        case Positions():
            left = sorted(set(range(layer.table.shape[1])) - set(outputs))
            layer.table = nn.Parameter(layer.table.detach()[:, left])


@torch.no_grad()
def need_masked(whole: Network, left: Network, stays: Mapping[str, Tensor], *, image: Tensor) -> None:
    """Raise VerificationError unless ``left`` computes what ``whole`` does with channels masked.

    At every step, what ``left`` computes must be what ``whole`` computes from zeros in place of the channels that went, without
    those of its outputs that went: so every layer lost the rows and columns of exactly these channels.

    Args:
        whole: the network before the cut.
        left: the network after it.
        stays: name of a value to whether each of its channels in ``whole`` is in ``left``.
        image: float, ``[1, C, H, W]``.
    """
    if not all(bool(each.isfinite().all()) for each in whole.state_dict().values()):
        return  # a training that diverged: zero times infinity is no zero
    whole, left = deepcopy(whole).double(), deepcopy(left).double()
    values = {PIXELS: image.double()}
    for step, of_left in zip(whole.steps, left.steps, strict=True):
        read = [values[name] for name in step.inputs]
        try:
            found = values[step.name] = run_step(of_left, left.layer(of_left), read)
            if step.kind == "standardize":  # it norms over the channels that are left: zeros would count
                continue
            masked = [_widened(each, stays[name]) for each, name in zip(read, step.inputs, strict=True)]
            wanted = run_step(step, whole.layer(step), masked)[:, stays[step.name]]
            difference = float((found - wanted).nan_to_num().abs().max())
        except (RuntimeError, IndexError) as error:  # shapes that do not meet
            raise _not_masked(step.where, str(error).strip().splitlines()[0]) from error
        largest = max(float(wanted.abs().max()), SMALL * max(float(each.abs().max()) for each in read))
        if found.shape != wanted.shape or difference > TOLERANCE * largest:
            raise _not_masked(step.where, f"a difference of {difference:.2g} in numbers up to {largest:.2g}")
    if not bool(stays[whole.steps[-1].name].all()):
        raise _not_masked(whole.steps[-1].where, "fewer answers")


def _widened(value: Tensor, stays: Tensor) -> Tensor:
    """Return ``value`` with zeros for the channels that went."""
    if value.shape[1] != int(stays.sum()):
        raise IndexError(f"{value.shape[1]} channels where {int(stays.sum())} stay")
    found = value.new_zeros(len(value), len(stays), *value.shape[2:])
    found[:, stays] = value
    return found


def _places(mask: Tensor) -> list[int]:
    found: list[int] = mask.nonzero()[:, 0].tolist()
    return found


def _not_masked(where: str, received: str) -> VerificationError:
    return VerificationError(
        f"a pruned network computes what it did with the channels masked that went: received module={where!r} with {received}; "
        "please report this with the module"
    )
