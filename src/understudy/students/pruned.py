"""The user's own network with fewer channels.

It is given, not designed: ``network/reading.py`` reads it, ``compression/prune.py`` takes channels away, and
``training/pruning.py`` trains it in between.
"""

from __future__ import annotations

from understudy.compression.prune import pruned
from understudy.network.folding import Weights, to_program
from understudy.network.steps import Network
from understudy.program.ops import Program
from understudy.students.recipe import Recipe


def build(recipe: Recipe, network: Network) -> Program:
    """Return a float program ``[H, W, C] pixels -> [classes]`` with ``kept`` of the channels of ``network``, not trained.

    Raises:
        SetupError: Torch-Pruning is not installed.
    """
    assert recipe.kept is not None
    return folded(recipe, pruned(network, recipe.kept))


def folded(recipe: Recipe, network: Network) -> Program:
    """Return ``network`` as it is, as a float program whose weights will be stored as ``recipe`` says."""
    return to_program(network, Weights(recipe.weight_bits, recipe.per_channel))
