"""ShuffleNet V2 1.0: convolutions on half of the channels, then a shuffle of both halves.

Source: Ma et al., "ShuffleNet V2" (arXiv 1807.11164), figure 3 c-d and table 5, without its last convolution.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.layers.separable import depthwise, pointwise, stem
from mosaic_deploy.zoo.layers.shuffle import shuffle_channels

_STEM_CHANNELS = 24
STAGES = ((116, 4), (232, 8), (464, 4))
"""Channels and units of each stage; the first unit of each has stride 2."""


def branch(channels: int, out: int, *, stride: int) -> nn.Sequential:
    """1x1, depthwise without activation, 1x1: (N, C, H, W) to (N, out, H / stride, W / stride)."""
    return nn.Sequential(pointwise(channels, out), depthwise(out, stride=stride), pointwise(out, out))


@final
class Unit(nn.Module):
    """Half of the channels pass, the others are convolved: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = branch(channels // 2, channels // 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape, shuffled."""
        kept, seen = x.chunk(2, dim=1)
        return shuffle_channels(torch.cat([kept, self.branch(seen)], dim=1), 2)


@final
class DownUnit(nn.Module):
    """Both branches see all channels and halve the sides: (N, C, H, W) to (N, out, H/2, W/2), rounded up."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.short = nn.Sequential(depthwise(channels, stride=2), pointwise(channels, out // 2))
        self.branch = branch(channels, out // 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H/2, W/2), shuffled."""
        return shuffle_channels(torch.cat([self.short(x), self.branch(x)], dim=1), 2)


@final
class ShuffleNetV2(nn.Module):
    """The backbone; its features have 24, 116, 232 and 464 channels at strides 4, 8, 16 and 32."""

    channels = (_STEM_CHANNELS, *(out for out, _ in STAGES))

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem(_STEM_CHANNELS)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages = []
        width = _STEM_CHANNELS
        for out, units in STAGES:
            stages.append(nn.Sequential(DownUnit(width, out), *(Unit(out) for _ in range(units - 1))))
            width = out
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to its four feature maps, the finest first."""
        features = [self.pool(self.stem(image))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return tuple(features)
