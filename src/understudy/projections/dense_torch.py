"""The dense projection as a torch layer; bit for bit what ``projections/dense.py`` gives."""

from __future__ import annotations

import torch

from understudy.projections.dense import DenseProjection, coefficients


class DenseProjectionLayer(torch.nn.Module):
    """``x [batch, ..., n] -> bits [batch, ..., T * d]``, 0 or 1 in float32: ``b = [<x, p> > 0]``; nothing is learned or saved.

    A step function has no useful gradient: what comes before this layer is not trained through it.
    """

    vectors: torch.Tensor
    """The coefficients p, float64 ``[T * d, n]``; follows from the seed, hence no part of ``state_dict``."""

    def __init__(self, projection: DenseProjection) -> None:
        super().__init__()
        self.projection = projection
        self.register_buffer("vectors", torch.from_numpy(coefficients(projection)).double(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the bits of float32 or integer ``x`` ``[batch, ..., n]``; summed in float64, as the reference does."""
        return (torch.nn.functional.linear(x.double(), self.vectors) > 0).float()
