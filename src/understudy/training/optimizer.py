"""What changes the weights in a step: Muon those of normalized layers, AdamW the rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import nn

from understudy.program.executor import Executor
from understudy.program.ops import DepthwiseConv
from understudy.training.schedule import Schedule
from understudy.training.trainer import Trainer

MATRIX_RATE = 4.0
"""Times the weights' learning rate: behind a batch norm it decides only how fast a matrix turns."""
SCALE_RATE = 0.05
"""Times the weights' learning rate: scales sit near their best value after calibration, and small ones overshoot."""


class Optimizer:
    """Optimizers of different parameters, as one.

    Args:
        adam: groups of parameters for AdamW (Loshchilov & Hutter 2019).
        matrices: weights ``[out, ...]`` for Muon.
        schedule: its learning rate and weight decay are the matrices'.
    """

    def __init__(self, adam: Iterable[dict[str, Any]], matrices: Iterable[nn.Parameter], schedule: Schedule) -> None:
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self._parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(adam, lr=rate, weight_decay=decay)]
        # Muon takes matrices alone: each has the values of its weights in the same memory
        self._matrices = [(weight, nn.Parameter(weight.detach().flatten(1))) for weight in matrices]
        if self._matrices:
            group = {"params": [matrix for _, matrix in self._matrices], "peak": rate * MATRIX_RATE}
            self._parts.append(torch.optim.Muon([group], lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))

    @property
    def groups(self) -> Iterable[dict[str, Any]]:
        """All groups of parameters; each has its ``peak``, the highest learning rate."""
        return chain.from_iterable(part.param_groups for part in self._parts)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad()
        for weight, _ in self._matrices:
            weight.grad = None

    def step(self) -> None:
        """Change the parameters by their gradients."""
        for weight, matrix in self._matrices:
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for part in self._parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what the next step depends on."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go back to ``states``."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def optimizer_for(executor: Executor, trainer: Trainer | None, schedule: Schedule) -> Optimizer:
    """Return what trains ``executor``, and ``trainer`` beside it."""
    behind = {node.output for node in executor.graph.layers if not isinstance(node, DepthwiseConv)} & set(executor.norm)
    matrices = [executor.weight[name] for name in sorted(behind)]
    scales = [p for part in (executor.weight_scale, executor.activation_scale) for p in part.parameters()]
    apart = {id(p) for p in (*matrices, *scales)}
    rest = [p for p in executor.parameters() if id(p) not in apart]
    groups: list[dict[str, Any]] = [{"params": rest, "peak": schedule.learning_rate}]
    if scales:
        groups.append({"params": scales, "peak": schedule.learning_rate * SCALE_RATE, "weight_decay": 0.0})
    if trainer is not None:
        learning = [p for p in trainer.parameters() if p.requires_grad]
        decay = schedule.weight_decay if trainer.weight_decay is None else trainer.weight_decay
        groups.append({"params": learning, "peak": schedule.learning_rate * trainer.rate_factor, "weight_decay": decay})
    return Optimizer(groups, matrices, schedule)
