"""MobileNet Multi-Hardware, MOSAIC's backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.trunk import Trunk
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Padding


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """One row of the backbone: a kernel, the expanded and the output channels, stride, dilation."""

    kernel: int
    expanded: int
    out: int
    stride: int = 1
    dilation: int = 1


def backbone_rows(block13_dilation: int = 1) -> tuple[Bottleneck, ...]:
    """The 16 inverted bottlenecks of MobileNet Multi-Hardware for segmentation (paper, table 1)."""
    return (
        Bottleneck(3, 96, 32, stride=2),
        Bottleneck(3, 64, 32),
        Bottleneck(5, 160, 64, stride=2),
        Bottleneck(3, 192, 64),
        Bottleneck(3, 128, 64),
        Bottleneck(3, 192, 64),
        Bottleneck(5, 384, 128, stride=2),
        Bottleneck(3, 384, 128),
        Bottleneck(3, 384, 128),
        Bottleneck(3, 384, 128),
        Bottleneck(3, 768, 160),
        Bottleneck(3, 640, 160),
        Bottleneck(3, 960, 192, dilation=block13_dilation),
        Bottleneck(5, 384, 96, dilation=2),
        Bottleneck(5, 384, 96, dilation=2),
        Bottleneck(5, 384, 96, dilation=2),
    )


_SKIP_CHANNELS = {2: 32, 4: 64, 8: 192}
"""Channels of the tensor that each skip stride carries: the stem's, and two expanded activations."""

_STEM_CHANNELS = 32
_TAPS = {2: 4, 6: 8}  # bottleneck number (counted from 1) -> stride of the skip it feeds


@final
class InvertedBottleneck(nn.Module):
    """Expand (1x1), filter each channel (k x k), project (1x1, no activation); add if shapes allow."""

    def __init__(self, channels: int, row: Bottleneck, padding: Padding) -> None:
        super().__init__()
        self.expand = ConvBN(Conv(channels, row.expanded, 1))
        self.depthwise = ConvBN(
            Conv(
                row.expanded,
                row.expanded,
                row.kernel,
                stride=row.stride,
                dilation=row.dilation,
                groups=row.expanded,
                padding=padding,
            )
        )
        self.project = ConvBN(Conv(row.expanded, row.out, 1), activation="none")
        self.residual = row.stride == 1 and channels == row.out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the block's output and its expanded activations."""
        expanded = self.depthwise(self.expand(x))
        y = self.project(expanded)
        return (x + y if self.residual else y), expanded


@final
class Backbone(Trunk):
    """MNMH: (N, 3, H, W) in [-1, 1] to (N, m, H/16, W/16), and the skip tensors by their stride."""

    def __init__(self, channels: int, *, block13_dilation: int, padding: Padding) -> None:
        """Make it with ``channels`` outputs, called m in the paper."""
        super().__init__(channels=channels, skip_channels=_SKIP_CHANNELS)
        self.stem = ConvBN(Conv(3, _STEM_CHANNELS, 3, stride=2, padding=padding))
        blocks = []
        width = _STEM_CHANNELS
        for row in backbone_rows(block13_dilation):
            blocks.append(InvertedBottleneck(width, row, padding))
            width = row.out
        self.blocks = nn.ModuleList(blocks)
        self.last = ConvBN(Conv(width, channels, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the stride-16 features and ``{2: stem, 4: ..., 8: ...}``."""
        x = self.stem(image)
        skips = {2: x}
        for number, block in enumerate(self.blocks, start=1):
            x, expanded = block(x)
            if number in _TAPS:
                skips[_TAPS[number]] = expanded
        return self.last(x), skips
