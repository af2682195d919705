"""Stochastic depth: residual branches that training leaves out at random."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn


@final
class DropPath(nn.Module):
    """Zero a branch for a ``share`` of the images in training, and make up for it in the others.

    Source: Huang et al., "Deep Networks with Stochastic Depth" (arXiv 1603.09382).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, ...) to the same shape; at inference, to itself."""
        if not self.training or self.share == 0:
            return x
        kept = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(1 - self.share)
        return x * kept / (1 - self.share)
