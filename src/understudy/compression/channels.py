"""Which channels of a network belong together: what must go or stay as one, and what must stay.

A layer over all channels makes *atoms*, one for each output. Every value of the network is then a row of atoms:
a concatenation puts rows behind each other, a flattening repeats an atom for each place, and what works on each channel
for itself hands the row on. A sum, a product and an attention tie atoms at the same place. What ends up tied is one *unit*.
The pixels and the answer are one unit that stays, so that whatever is tied to them stays too.

It is read from the steps themselves. A graph of gradients, which Torch-Pruning reads, does not hold what the input's channels
are, nor how many places each part of a flattened concatenation has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from understudy.network.steps import PIXELS, Network, Step, run_step

STAYS = 0
"""The unit of the pixels and of the answer."""


@dataclass(frozen=True, eq=False)
class Family:
    """Units with outputs in the same layers, as many of each: they compete with each other, and keep a share of their own.

    Two branches behind a concatenation are two families even where one layer follows both: neither may lose all channels.

    Attributes:
        layers: name to how many outputs each unit has there.
        units: in the order of their channels.
    """

    layers: Mapping[str, int]
    units: Tensor


@dataclass(frozen=True, eq=False)
class Channels:
    """The units of a network.

    Attributes:
        network: whose they are.
        units: name of a value to the unit of each of its channels; of a vector, of each number.
    """

    network: Network
    units: Mapping[str, Tensor]

    def inputs(self, step: Step) -> Tensor:
        """Return the unit of each channel that ``step`` reads first, in the order in which its layer has them."""
        found = self.units[step.inputs[0]]
        return found.flip(0) if step.reversed_channels else found

    @cached_property
    def outputs(self) -> dict[str, Tensor]:
        """Name of each layer that makes channels to their units."""
        network = self.network
        return {step.name: self.units[step.name] for step in network.steps if makes_channels(network.layer(step))}

    @cached_property
    def families(self) -> list[Family]:
        """All families but that of what stays, those nearest to the answer first."""
        layers: dict[int, list[str]] = {}
        for name, layer in _backwards(self.network).items():
            for unit in self.units[name].tolist() if isinstance(layer, nn.Conv2d | nn.Linear) else ():
                names = layers.setdefault(unit, [])
                names += [name] if makes_channels(layer) else []
        layers.pop(STAYS, None)
        found: dict[tuple[str, ...], list[int]] = {}
        for unit, names in layers.items():
            found.setdefault(tuple(names), []).append(unit)
        return [Family(Counter(names), torch.tensor(sorted(units))) for names, units in found.items()]

    def sizes(self, widths: Mapping[str, int]) -> list[int | None]:
        """Return how many units each family had where layers had ``widths``, None where these do not say it.

        A layer whose outputs are all of one family says its size; then one whose other families are known.
        The answer depends on what is tied to what alone, so it is the same after every cut.
        """
        families = self.families
        found: list[int | None] = [None] * len(families)
        rest = {name: widths[name] - int((units == STAYS).sum()) for name, units in self.outputs.items()}
        open_in = {name: [at for at, each in enumerate(families) if name in each.layers] for name in rest}
        while solved := next((name for name, waiting in open_in.items() if len(waiting) == 1), None):
            [at] = open_in[solved]
            size = found[at] = rest[solved] // families[at].layers[solved]
            for name, count in families[at].layers.items():
                open_in[name].remove(at)
                rest[name] -= size * count
        return found


def makes_channels(layer: nn.Module | None) -> bool:
    """Return whether each output of ``layer`` depends on all of its inputs."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def channels_of(network: Network, image: Tensor) -> Channels:
    """Return the units of ``network``, which is run on ``image`` for the places of its maps."""
    values = {PIXELS: image}
    atoms = {PIXELS: torch.full(image.shape[1:2], STAYS)}
    ties: list[tuple[Tensor, Tensor]] = []
    count = STAYS + 1
    for step in network.steps:
        layer = network.layer(step)
        values[step.name] = run_step(step, layer, [values[name] for name in step.inputs])
        read = [atoms[name] for name in step.inputs]
        found = read[0]
        if makes_channels(layer):
            made = values[step.name].shape[1]
            found = torch.arange(count, count + made)
            count += made
        elif step.kind == "concat":
            found = torch.cat(read)
        elif step.kind == "flatten":
            found = found.repeat_interleave(values[step.inputs[0]][0, 0].numel())
        elif step.kind in ("add", "multiply", "attention"):
            # one channel beside many is read by all of them, and is no partner of any
            found = max(read, key=len)
            ties += [(found, each) for each in read if len(each) == len(found)]
        if step.kind == "attention":
            # of every head the same channels go, so that heads keep equal widths
            ties += [(head, each.chunk(step.heads)[0]) for each in read for head in each.chunk(step.heads)]
        atoms[step.name] = found.flip(0) if step.reversed_channels and not makes_channels(layer) else found
    answer = atoms[network.steps[-1].name]
    ties.append((answer, torch.full_like(answer, STAYS)))
    units = _tied(count, ties)
    return Channels(network, {name: units[each] for name, each in atoms.items()})


def _tied(count: int, ties: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return for each of ``count`` atoms the first one that it is tied to, over any number of others."""
    first, second = (torch.cat(side) for side in zip(*ties, strict=True))
    ends = torch.cat([first, second])
    found = torch.arange(count)
    while True:
        low = torch.minimum(found[first], found[second]).repeat(2)
        lower = found.scatter_reduce(0, ends, low, "amin")
        lower = lower[lower]
        if torch.equal(lower, found):
            return found
        found = lower


def _backwards(network: Network) -> dict[str, nn.Module | None]:
    """Return the names of the steps and their layers from the answer back, along the last input of each step first.

    This is the order in which Torch-Pruning meets layers; a cut counts the weights that earlier ones left, so it is kept.
    """
    by_name = {step.name: step for step in network.steps}
    last = network.steps[-1].name
    waiting, visited, found = [last], set[str](), {last: network.layer(network.steps[-1])}
    while waiting:
        name = waiting.pop()
        if name not in visited:
            visited.add(name)
            inputs = [each for each in by_name[name].inputs if each in by_name]
            found |= {each: network.layer(by_name[each]) for each in inputs if each not in found}
            waiting += inputs
    return found
