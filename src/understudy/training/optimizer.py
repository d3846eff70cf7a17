"""What changes the weights in a step: Muon those of normalized layers, AdamW the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import torch
from torch import Tensor, nn

from understudy.program.executor import Executor
from understudy.training.schedule import Schedule
from understudy.training.trainer import Trainer

MATRIX_RATE = 4.0
"""Times the weights' learning rate: behind a batch norm it decides only how fast a matrix turns."""
SCALE_RATE = 0.05
"""Times the weights' learning rate: scales sit near their best value after calibration, and small ones overshoot."""
MOMENTUM: Final = 0.95
STEP_OF_ADAMW: Final = 0.2
"""Its root mean square, so that one learning rate suits both (Liu et al. 2025, arXiv 2502.16982, section 2.2)."""
ITERATIONS: Final = 5
QUINTIC: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients that bring every singular value from 0 to 1 near 1 in few iterations (Jordan et al. 2024)."""


def orthogonal(matrix: Tensor) -> Tensor:
    """Return nearly the orthogonal matrix next to ``matrix`` ``[rows, columns]``: its singular values become 0.7 to 1.2."""
    a, b, c = QUINTIC
    tall = len(matrix) > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose every direction learns equally fast (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

    torch's own takes matrices alone and multiplies in bfloat16, for which many processors have no units.

    Args:
        groups: of weights ``[out, ...]``, each a matrix of ``out`` rows.
        learning_rate: as AdamW's.
        weight_decay: times the learning rate in each step.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], *, learning_rate: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": learning_rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # noqa: ARG002 - as torch's, which may have one
        """Change the weights by their gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                mean: Tensor = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(mean, MOMENTUM).flatten(1)  # where the momentum will be (Nesterov)
                step = group["lr"] * STEP_OF_ADAMW * max(ahead.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(orthogonal(ahead).reshape(weight.shape), alpha=step)


class Optimizer:
    """Optimizers of different parameters, as one.

    Args:
        adam: groups of parameters for AdamW (Loshchilov & Hutter 2019).
        matrices: weights ``[out, ...]`` for Muon.
        schedule: its learning rate and weight decay are both's.
    """

    def __init__(self, adam: Sequence[dict[str, Any]], matrices: Sequence[nn.Parameter], schedule: Schedule) -> None:
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self._parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(adam, lr=rate, weight_decay=decay)]
        if matrices:
            group = {"params": matrices, "peak": rate * MATRIX_RATE}
            self._parts.append(Muon([group], learning_rate=rate, weight_decay=decay))

    @property
    def groups(self) -> Iterable[dict[str, Any]]:
        """All groups of parameters; each has its ``peak``, the highest learning rate."""
        return chain.from_iterable(part.param_groups for part in self._parts)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad()

    def step(self) -> None:
        """Change the parameters by their gradients."""
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
    matrices = [*executor.normalized_matrices(), *(() if trainer is None else trainer.matrices())]
    scales = [p for part in (executor.weight_scale, executor.activation_scale) for p in part.parameters()]
    apart = {id(p) for p in (*matrices, *scales)}
    rest = [p for p in executor.parameters() if id(p) not in apart]
    groups: list[dict[str, Any]] = [{"params": rest, "peak": schedule.learning_rate}]
    if scales:
        groups.append({"params": scales, "peak": schedule.learning_rate * SCALE_RATE, "weight_decay": 0.0})
    if trainer is not None:
        learning = [p for p in trainer.parameters() if p.requires_grad and id(p) not in apart]
        decay = schedule.weight_decay if trainer.weight_decay is None else trainer.weight_decay
        groups.append({"params": learning, "peak": schedule.learning_rate * trainer.rate_factor, "weight_decay": decay})
    return Optimizer(groups, matrices, schedule)
