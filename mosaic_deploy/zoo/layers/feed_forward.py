"""The feed-forward layer of transformers on maps: 1x1 convolutions around a depthwise one."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from mosaic_deploy.zoo.layers.layers import Conv
from mosaic_deploy.zoo.layers.separable import conv_bn


@final
class FeedForward(nn.Module):
    """Expand (1x1), filter each channel (3x3, with a bias and no batch norm), ReLU6, project (1x1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = conv_bn(channels, hidden)
        self.depthwise = Conv(hidden, hidden, 3, groups=hidden, padding="symmetric", bias=True)
        self.relu = nn.ReLU6(inplace=True)
        self.project = conv_bn(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y: Tensor = self.project(self.relu(self.depthwise(self.expand(x))))
        return y
