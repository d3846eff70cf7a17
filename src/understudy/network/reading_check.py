"""Whether a network that was read computes what its module does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from understudy.errors import VerificationError
from understudy.network.folding import Weights, to_program
from understudy.network.reading import BATCH, TOLERANCE, Taken
from understudy.network.reading_graph import ExportedGraph
from understudy.network.steps import Network
from understudy.program.executor import Executor
from understudy.teachers.image_input import ImageInput, Preparation
from understudy.teachers.image_model import test_patterns
from understudy.teachers.protocol import UInt8Array, users_code
from understudy.teachers.torch import evaluating, logits_in


def check(network: Network, module: nn.Module, graph: ExportedGraph, taken: Taken, *, name: str, sigmoids: bool) -> None:
    """Raise ``VerificationError`` unless steps and program compute what the module does, up to a constant for each image.

    Args:
        network: the steps.
        module: what they were read from.
        graph: of the module.
        taken: how the module takes images.
        name: of the module, for messages.
        sigmoids: the module ends with one of every class, which the steps leave out.
    """
    images = test_patterns(network.shape)[:16]
    given = torch.from_numpy(Preparation(ImageInput(), taken.layout, taken.pixel_range)(images))
    with evaluating(network), torch.no_grad():
        found = network(torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2))
        wanted = _answers(module, graph, given.to(torch.float32), name=name).reshape(len(images), -1)
    if wanted.shape[1] == 1:
        return  # of one column, what the module answers may be a probability
    wanted = wanted[:, list(taken.columns)]
    if sigmoids:
        found = found.sigmoid()
    elif bool(((wanted >= 0).all(dim=1) & ((wanted.sum(dim=1) - 1).abs() < 1e-3)).all()):
        found = found.softmax(dim=1)  # the last softmax was left out
    elif bool(((wanted.exp().sum(dim=1) - 1).abs() < 1e-3).all()):
        found = found.log_softmax(dim=1)
    difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
    difference = max(difference, _folding_difference(network, images))
    if not difference <= TOLERANCE:
        raise VerificationError(
            f"a network that was read computes what its module does: received network={name!r} with a difference of "
            f"{difference:.2g} of its largest logit; please report this with the module"
        )


def _answers(module: nn.Module, graph: ExportedGraph, given: Tensor, *, name: str) -> Tensor:
    if graph.rounded:  # the module cannot be asked for what it computes without that
        return torch.cat([graph(given[first : first + BATCH]) for first in range(0, len(given), BATCH)])
    with users_code(name), evaluating(module):
        return logits_in(module(given), name=name)


def _folding_difference(network: Network, images: UInt8Array) -> float:
    """Return how much the program of ``network`` differs from its steps, as a share of its largest logit."""
    pixels = torch.from_numpy(images.astype(np.float32) / 255)
    with torch.no_grad():
        wanted = network(pixels.permute(0, 3, 1, 2))
        found = Executor(to_program(network, Weights(8, per_channel=True))).train(False)(pixels)
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
