"""Reads small networks as the tests write them, and compares what was read with the module."""

from __future__ import annotations

import torch
from torch import nn

from understudy.network.folding import Weights, to_program
from understudy.network.reading import Taken, read_network
from understudy.network.steps import Network, dumps, loads
from understudy.program.executor import Executor
from understudy.teachers.image_input import UNIT

COLUMNS = tuple(range(10))


def read(module: nn.Module, *, channels: int = 3) -> Network:
    return read_network(module, Taken("NCHW", UNIT, COLUMNS), shape=(8, 8, channels), name="theirs")


def compare(module: nn.Module, *, channels: int = 3) -> Network:
    """Return the network that was read, whose steps and program answer as ``module`` does."""
    network = loads(dumps(read(module.train(False), channels=channels))).train(False)
    images = torch.rand(4, channels, 8, 8)
    program = to_program(network, Weights(8, per_channel=True))
    with torch.no_grad():
        wanted = module(images)
        assert torch.allclose(network(images), wanted, atol=1e-5)
        assert torch.allclose(Executor(program).train(False)(images.permute(0, 2, 3, 1)), wanted, atol=1e-5)
    return network
