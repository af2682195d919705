"""MobileNetV2 at any output stride.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381), table 2,
without the last 1x1 convolution to 1280 channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, final

from torch import Tensor, nn

from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Padding

OutputStride = Literal[8, 16, 32]

_STEM_CHANNELS = 32
_STAGES = (  # expansion, output channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How the framework that a network was born in pads and normalises."""

    padding: Padding
    eps: float
    momentum: float
    """In PyTorch's sense: the share of a new batch."""


TENSORFLOW = Style("same", 1e-3, 0.01)
PYTORCH = Style("symmetric", 1e-5, 0.1)
"""PaddlePaddle's too."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """One block: expansion of its input's channels, output channels, stride and dilation."""

    expansion: int
    out: int
    stride: int
    dilation: int
    reached: int
    """Stride of its output in the image."""


def rows(output_stride: OutputStride = 32) -> tuple[Bottleneck, ...]:
    """The 17 blocks of the network whose features have that stride.

    A block whose stride would exceed it keeps the resolution, and those after it are dilated instead; as in
    TensorFlow's DeepLab, itself it is not.
    """
    found, reached, dilation = [], 2, 1
    for expansion, out, blocks, first_stride in _STAGES:
        for stride in (first_stride, *[1] * (blocks - 1)):
            lost = reached * stride > output_stride
            reached *= 1 if lost else stride
            found.append(Bottleneck(expansion, out, 1 if lost else stride, dilation, reached))
            dilation *= stride if lost else 1
    return tuple(found)


@final
class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (3x3), project (1x1, linear); add if shapes allow."""

    def __init__(self, channels: int, row: Bottleneck, style: Style, *, expand: bool) -> None:
        super().__init__()
        norm = partial(ConvBN, eps=style.eps, momentum=style.momentum)
        width = row.expansion * channels
        self.expand = norm(Conv(channels, width, 1), activation="relu6") if expand else nn.Identity()
        filters = Conv(
            width, width, 3, stride=row.stride, dilation=row.dilation, groups=width, padding=style.padding
        )
        self.depthwise = norm(filters, activation="relu6")
        self.project = norm(Conv(width, row.out, 1), activation="none")
        self.residual = row.stride == 1 and channels == row.out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the block's output and its expanded activations."""
        expanded = self.depthwise(self.expand(x))
        y = self.project(expanded)
        return (x + y if self.residual else y), expanded


@final
class MobileNetV2(nn.Module):
    """(N, 3, H, W) to the last features of each stride.

    They have 16 channels at stride 2, 24 at 4, 32 at 8, 96 at 16 and 320 at 32; with a smaller
    ``output_stride`` it is there that they have 320. ``expand_first`` keeps the first 1x1 convolution,
    which expands nothing: PaddleSeg has it, TensorFlow has not.
    """

    def __init__(
        self, *, output_stride: OutputStride = 32, expand_first: bool = False, style: Style = TENSORFLOW
    ) -> None:
        super().__init__()
        stem = Conv(3, _STEM_CHANNELS, 3, stride=2, padding=style.padding)
        self.stem = ConvBN(stem, activation="relu6", eps=style.eps, momentum=style.momentum)
        self.rows = rows(output_stride)
        blocks, width = [], _STEM_CHANNELS
        for row in self.rows:
            blocks.append(InvertedResidual(width, row, style, expand=row.expansion > 1 or expand_first))
            width = row.out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Return, by stride, what the last block of that stride gives, and its expanded activations."""
        x: Tensor = self.stem(image)
        outputs, expansions = {}, {}
        for row, block in zip(self.rows, self.blocks, strict=True):
            x, expansions[row.reached] = block(x)
            outputs[row.reached] = x
        return outputs, expansions
