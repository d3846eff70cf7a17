"""The projection by boxes as a torch layer; sign for sign what ``projections/boxes.py`` gives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from understudy.projections.boxes import BoxProjection, coefficients


class BoxLayer(torch.nn.Module):
    """``x [batch, H, W, C] -> signs [batch, T * d]``, +1 or -1 in float32; nothing in it is learned or saved.

    A step has no useful gradient. What comes before this layer learns as if a sign were its sum over the sum's root mean
    square in the batch, clamped to +-1 (straight-through: Bengio et al. 2013; with the clamp, Hubara et al. 2016).
    """

    vectors: Tensor
    """The coefficients p, float32 ``[T * d, H * W * C]``; they follow from the seed, hence are no part of ``state_dict``."""

    def __init__(self, projection: BoxProjection) -> None:
        super().__init__()
        self.projection = projection
        self.register_buffer("vectors", torch.from_numpy(coefficients(projection)).float(), persistent=False)

    def forward(self, x: Tensor, step: Tensor | float | None) -> Tensor:
        """Return the signs of ``x``.

        Given the ``step`` between its values, their sums are those of integers, which float32 holds exactly.
        """
        x = x.flatten(1).float()
        exact = x.detach() if step is None else (x.detach() / step).round_()
        with torch.autocast(x.device.type, enabled=False):  # a sum in fewer bits would round small values away
            signs = torch.where(functional.linear(exact, self.vectors) > 0, 1.0, -1.0)
            if not x.requires_grad:
                return signs
            sums = functional.linear(x, self.vectors)
        soft = (sums / (sums.detach().square().mean(dim=0).sqrt() + 1e-6)).clamp(-1.0, 1.0)
        return soft + (signs - soft).detach()
