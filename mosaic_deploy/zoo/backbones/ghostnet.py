"""GhostNet 1.0: half of the features by 1x1 convolutions, the other half by cheap filters of those.

Source: Han et al., "GhostNet: More Features from Cheap Operations" (arXiv 1911.11907), table 1, as
PaddlePaddle's PaddleSeg has it for segmentation: features at strides 4, 8, 16 and 32, no last convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.layers.activations import Activation
from mosaic_deploy.zoo.layers.separable import depthwise, pointwise, stem
from mosaic_deploy.zoo.layers.squeeze import SqueezeExcite


@dataclass(frozen=True, slots=True)
class Row:
    """One bottleneck; ``squeeze`` weighs its hidden channels, ``tap`` makes its output a feature map."""

    kernel: int
    hidden: int
    out: int
    stride: int = 1
    squeeze: bool = False
    tap: bool = False


ROWS = (
    Row(3, 16, 16),
    Row(3, 48, 24, stride=2),
    Row(3, 72, 24, tap=True),
    Row(5, 72, 40, stride=2, squeeze=True),
    Row(5, 120, 40, squeeze=True, tap=True),
    Row(3, 240, 80, stride=2),
    Row(3, 200, 80),
    Row(3, 184, 80),
    Row(3, 184, 80),
    Row(3, 480, 112, squeeze=True),
    Row(3, 672, 112, squeeze=True, tap=True),
    Row(5, 672, 160, stride=2, squeeze=True),
    Row(5, 960, 160),
    Row(5, 960, 160, squeeze=True),
    Row(5, 960, 160),
    Row(5, 960, 160, squeeze=True, tap=True),
)
"""The 16 bottlenecks (paper, table 1)."""

_STEM_CHANNELS = 16


@final
class Ghost(nn.Module):
    """A 1x1 convolution for half of the channels, a 3x3 filter of each of those for the other half."""

    def __init__(self, channels: int, out: int, activation: Activation) -> None:
        """``out`` is even."""
        super().__init__()
        self.primary = pointwise(channels, out // 2, activation)
        self.cheap = depthwise(out // 2, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H, W)."""
        primary = self.primary(x)
        return torch.cat([primary, self.cheap(primary)], dim=1)


@final
class GhostBottleneck(nn.Module):
    """Ghost, depthwise convolution where there is a stride, squeeze, ghost; plus the input.

    Where the input has another shape, a depthwise and a 1x1 convolution fit it.
    """

    def __init__(self, channels: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = [Ghost(channels, row.hidden, "relu")]
        if row.stride > 1:
            layers.append(depthwise(row.hidden, row.kernel, stride=row.stride))
        if row.squeeze:
            layers.append(SqueezeExcite(row.hidden, row.hidden // 4, "clip"))
        layers.append(Ghost(row.hidden, row.out, "none"))
        self.body = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if row.stride > 1 or channels != row.out:
            self.shortcut = nn.Sequential(
                depthwise(channels, row.kernel, stride=row.stride), pointwise(channels, row.out, "none")
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H / stride, W / stride), rounded up."""
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


@final
class GhostNet(nn.Module):
    """The backbone; its features have 24, 40, 112 and 160 channels at strides 4, 8, 16 and 32."""

    channels = tuple(row.out for row in ROWS if row.tap)

    def __init__(self) -> None:
        super().__init__()
        self.stem = stem(_STEM_CHANNELS)
        blocks = []
        width = _STEM_CHANNELS
        for row in ROWS:
            blocks.append(GhostBottleneck(width, row))
            width = row.out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to its four feature maps, the finest first."""
        x = self.stem(image)
        features = []
        for row, block in zip(ROWS, self.blocks, strict=True):
            x = block(x)
            if row.tap:
                features.append(x)
        return tuple(features)
