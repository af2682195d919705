"""MobileNetV3, small and large, in the forms that segmenters take it in.

Source: Andrew Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244), tables 1 and 2; the reduced
tail and the skip tensors as DeepLab's model zoo (TensorFlow models) has them; PaddleSeg's form as its
backbones have it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

from torch import Tensor, nn

from mosaic_deploy.zoo.layers.activations import Activation, Gate
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Padding
from mosaic_deploy.zoo.layers.squeeze import SqueezeExcite, make_divisible

Size = Literal["small", "large"]


@dataclass(frozen=True, slots=True)
class Row:
    """One inverted bottleneck: kernel, channels expanded and out, squeezing, activation, stride, dilation."""

    kernel: int
    expanded: int
    out: int
    squeeze: Literal["se", "-"]
    activation: Activation
    stride: int = 1
    dilation: int = 1


_LARGE = (
    Row(3, 16, 16, "-", "relu"),
    Row(3, 64, 24, "-", "relu", 2),
    Row(3, 72, 24, "-", "relu"),
    Row(5, 72, 40, "se", "relu", 2),
    Row(5, 120, 40, "se", "relu"),
    Row(5, 120, 40, "se", "relu"),
    Row(3, 240, 80, "-", "hard_swish", 2),
    Row(3, 200, 80, "-", "hard_swish"),
    Row(3, 184, 80, "-", "hard_swish"),
    Row(3, 184, 80, "-", "hard_swish"),
    Row(3, 480, 112, "se", "hard_swish"),
    Row(3, 672, 112, "se", "hard_swish"),
    Row(5, 672, 160, "se", "hard_swish", 2),
    Row(5, 960, 160, "se", "hard_swish"),
    Row(5, 960, 160, "se", "hard_swish"),
)
_SMALL = (
    Row(3, 16, 16, "se", "relu", 2),
    Row(3, 72, 24, "-", "relu", 2),
    Row(3, 88, 24, "-", "relu"),
    Row(5, 96, 40, "se", "hard_swish", 2),
    Row(5, 240, 40, "se", "hard_swish"),
    Row(5, 240, 40, "se", "hard_swish"),
    Row(5, 120, 48, "se", "hard_swish"),
    Row(5, 144, 48, "se", "hard_swish"),
    Row(5, 288, 96, "se", "hard_swish", 2),
    Row(5, 576, 96, "se", "hard_swish"),
    Row(5, 576, 96, "se", "hard_swish"),
)
_STEM = 16
_TAIL = 3  # rows of the last stage


def rows(size: Size, *, reduced: bool = False, output_stride: Literal[16, 32] = 32) -> tuple[Row, ...]:
    """The bottlenecks of a network.

    Args:
        size: which of the two.
        reduced: halve the outputs of the last stage, and what its later blocks expand to, for segmentation.
        output_stride: 16 takes the stride of the last stage away and dilates the blocks after it by 2.
    """
    table = _LARGE if size == "large" else _SMALL
    body, first, rest = table[:-_TAIL], table[-_TAIL], table[1 - _TAIL :]
    if reduced:
        first = replace(first, expanded=first.expanded // 2, out=first.out // 2)
        rest = tuple(replace(row, expanded=row.expanded // 2, out=row.out // 2) for row in rest)
    if output_stride == 16:
        first = replace(first, stride=1)
        rest = tuple(replace(row, dilation=2) for row in rest)
    return (*body, first, *rest)


@dataclass(frozen=True, slots=True)
class Form:
    """What differs between the sources of one and the same table."""

    keep_expand: bool = False
    """Whether a block that expands nothing still has its first 1x1 convolution."""
    squeeze_by_8: bool = True
    """Whether squeezed channels are rounded to multiples of 8; a plain quarter of them otherwise."""
    gate: Gate = "hard_sigmoid"
    padding: Padding = "same"
    eps: float = 1e-3
    momentum: float = 0.01
    last: bool = True
    """Whether the 1x1 convolution to six times the last channels follows."""


TENSORFLOW = Form()
TORCHVISION = Form(padding="symmetric")
PADDLE = Form(
    keep_expand=True,
    squeeze_by_8=False,
    gate="hard_sigmoid_fifth",
    padding="symmetric",
    eps=1e-5,
    momentum=0.1,
    last=False,
)


@final
class Block(nn.Module):
    """Expand (1x1), filter (k x k depthwise), squeeze and excite, project (1x1); add if shapes allow."""

    def __init__(self, channels: int, row: Row, form: Form) -> None:
        super().__init__()
        norm = {"eps": form.eps, "momentum": form.momentum}
        bare = row.expanded == channels and not form.keep_expand
        expand = Conv(channels, row.expanded, 1)
        self.expand = nn.Identity() if bare else ConvBN(expand, activation=row.activation, **norm)
        depthwise = Conv(
            row.expanded,
            row.expanded,
            row.kernel,
            stride=row.stride,
            dilation=row.dilation,
            groups=row.expanded,
            padding=form.padding,
        )
        self.depthwise = ConvBN(depthwise, activation=row.activation, **norm)
        squeezed = make_divisible(row.expanded / 4) if form.squeeze_by_8 else row.expanded // 4
        self.squeeze = (
            SqueezeExcite(row.expanded, squeezed, form.gate) if row.squeeze == "se" else nn.Identity()
        )
        self.project = ConvBN(Conv(row.expanded, row.out, 1), activation="none", **norm)
        self.residual = row.stride == 1 and channels == row.out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the block's output and its expanded activations, before squeezing."""
        expanded = self.depthwise(self.expand(x))
        y = self.project(self.squeeze(expanded))
        return (x + y if self.residual else y), expanded


@dataclass(frozen=True, slots=True)
class Features:
    """What heads take from the backbone; every dictionary by the number of the block, counted from 1."""

    last: Tensor
    """The last 1x1 convolution's output, or the last block's where there is none."""
    expanded: dict[int, Tensor]
    """What the depthwise convolutions gave."""
    blocks: dict[int, Tensor]
    """What the blocks gave."""


@final
class MobileNetV3(nn.Module):
    """(N, 3, H, W) to :class:`Features`."""

    def __init__(self, table: tuple[Row, ...], form: Form = TENSORFLOW) -> None:
        super().__init__()
        norm = {"eps": form.eps, "momentum": form.momentum}
        stem = Conv(3, _STEM, 3, stride=2, padding=form.padding)
        self.stem = ConvBN(stem, activation="hard_swish", **norm)
        channels = [_STEM, *(row.out for row in table)]
        self.blocks = nn.ModuleList(
            Block(before, row, form) for before, row in zip(channels, table, strict=False)
        )
        wide = channels[-1] * 6
        last = ConvBN(Conv(channels[-1], wide, 1), activation="hard_swish", **norm)
        self.last = last if form.last else nn.Identity()
        self.channels = wide if form.last else channels[-1]

    def forward(self, image: Tensor) -> Features:
        """Run all blocks; nothing is computed that a head does not take."""
        x = self.stem(image)
        expanded, blocks = {}, {}
        for number, block in enumerate(self.blocks, start=1):
            x, inner = block(x)
            expanded[number], blocks[number] = inner, x
        return Features(self.last(x), expanded, blocks)
