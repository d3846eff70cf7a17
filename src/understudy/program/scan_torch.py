"""The gated recurrence in torch: ``program.ops.Scan`` in real values, with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scan(x: Tensor) -> Tensor:
    """Return the states ``[batch, T, 1, E]`` for gates and candidates ``[batch, T, 1, 2 * E]``, both in -1..1.

    Integer programs keep 16 bits of a state between two steps, which is not imitated here. States are sums over all steps,
    which fewer bits than float32 would not hold.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    gates, candidates = x.squeeze(2).transpose(0, 1).chunk(2, dim=-1)
    states: Tensor = _Scan.apply((1 + gates) / 2, candidates)  # type: ignore[no-untyped-call]
    return states.transpose(0, 1).unsqueeze(2)


class _Scan(torch.autograd.Function):
    """``h_t = h_{t-1} + i_t (c_t - h_{t-1})`` over axis 0: a tenth of the calls of a composition of torch's functions."""

    @staticmethod
    def forward(ctx: Any, inflow: Tensor, candidates: Tensor) -> Tensor:
        states = torch.empty_like(inflow)
        state = torch.zeros_like(inflow[0])
        for step in range(len(inflow)):
            state = torch.lerp(state, candidates[step], inflow[step], out=states[step])
        ctx.save_for_backward(inflow, candidates, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        [gradient] = gradients
        inflow, candidates, states = ctx.saved_tensors
        reaching = gradient.clone()  # what each state changes, also through the states after it
        kept = 1 - inflow
        for step in range(len(inflow) - 1, 0, -1):
            reaching[step - 1].addcmul_(reaching[step], kept[step])
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        return reaching * (candidates - before), reaching * inflow
