"""The token pyramid transformer: a light CNN, whose four scales are pooled to one small grid of tokens.

Source: Wenqiang Zhang et al., "TopFormer: Token Pyramid Transformer for Mobile Semantic Segmentation" (arXiv
2204.05525) and its code.

    image -> stem -> inverted residuals -> taps at strides 4, 8, 16, 32
          -> each averaged to the grid of stride 64, concatenated -> transformer blocks -> split again
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.token_pyramid_variants import Row, Stage, Variant
from mosaic_deploy.zoo.layers.attention import Heads, TokenAttention
from mosaic_deploy.zoo.layers.drop_path import DropPath
from mosaic_deploy.zoo.layers.feed_forward import FeedForward
from mosaic_deploy.zoo.layers.separable import conv_bn


@final
class InvertedResidual(nn.Module):
    """Expand (1x1, unless by 1), filter each channel (k x k), project (1x1); add if shapes allow."""

    def __init__(self, channels: int, row: Row) -> None:
        super().__init__()
        hidden = row.expansion * channels
        self.expand = conv_bn(channels, hidden, activation="relu") if row.expansion > 1 else nn.Identity()
        self.depthwise = conv_bn(
            hidden, hidden, row.kernel, stride=row.stride, groups=hidden, activation="relu"
        )
        self.project = conv_bn(hidden, row.out)
        self.residual = row.stride == 1 and channels == row.out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


@final
class TokenPyramid(nn.Module):
    """The CNN: (N, 3, H, W) to its last features at strides 4, 8, 16 and 32."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.stem = conv_bn(3, variant.stem, 3, stride=2, activation="relu")
        widths = [variant.stem, *(row.out for row in variant.rows)]
        self.blocks = nn.ModuleList(map(InvertedResidual, widths, variant.rows))
        # A tap is the last block before a stride, from stride 4 on, and the last of all.
        self.taps = [at for at, (_, after) in enumerate(pairwise(variant.rows)) if after.stride == 2][1:]
        self.taps.append(len(variant.rows) - 1)
        self.channels = tuple(variant.rows[tap].out for tap in self.taps)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return four maps (N, c, ceil(H / s), ceil(W / s)), from fine to coarse."""
        x, taps = self.stem(image), []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                taps.append(x)
        return taps


def pool_to_tokens(maps: list[Tensor]) -> Tensor:
    """Average maps (N, c, H, W) to a grid of half the last one's sides, rounded up, and concatenate them."""
    grid = [(int(side) + 1) // 2 for side in maps[-1].shape[2:]]
    return torch.cat([_pool(x, grid[0], grid[1]) for x in maps], dim=1)


def _pool(x: Tensor, height: int, width: int) -> Tensor:
    """Average PyTorch's adaptive windows: by a pool where they are equal, else by two products."""
    before = int(x.shape[2]), int(x.shape[3])
    if before[0] % height == 0 and before[1] % width == 0:
        kernel = before[0] // height, before[1] // width
        return nn.functional.avg_pool2d(x, kernel, kernel)
    columns = torch.matmul(x, _windows(before[1], width).to(x)).transpose(2, 3)
    return torch.matmul(columns, _windows(before[0], height).to(x)).transpose(2, 3)


def _windows(before: int, after: int) -> Tensor:
    """Make the (before, after) matrix: window i is [floor(i * before / after), ceil of the next one's)."""
    at, window = torch.arange(before)[:, None], torch.arange(after)
    end = ((window + 1) * before + after - 1) // after  # exporters divide what is negative wrongly
    inside = (at >= window * before // after) & (at < end)
    return inside / inside.sum(dim=0)


@final
class TransformerBlock(nn.Module):
    """Attention and an MLP, each added to its input; no layer norm anywhere."""

    def __init__(self, channels: int, stage: Stage, drop: float) -> None:
        super().__init__()
        heads = Heads(stage.heads, stage.key, int(stage.attention_ratio * stage.key))
        self.attention = TokenAttention(channels, heads)
        self.mlp = FeedForward(channels, int(stage.mlp_ratio * channels))
        self.drop = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w)."""
        x = x + self.drop(self.attention(x))
        y: Tensor = x + self.drop(self.mlp(x))
        return y


@final
class TokenTransformer(nn.Module):
    """The backbone: the CNN's maps, and what the transformer made of each at stride 64."""

    def __init__(self, variant: Variant, drop_path: float) -> None:
        """Make it; ``drop_path`` is the last block's share of left out branches, the first one's is 0."""
        super().__init__()
        self.pyramid = TokenPyramid(variant)
        self.channels = self.pyramid.channels
        stages = [stage for stage in variant.stages for _ in range(stage.depth)]
        drops = torch.linspace(0, drop_path, len(stages), device="cpu").tolist()
        width = sum(self.channels)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, stage, drop) for stage, drop in zip(stages, drops, strict=True))
        )

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Map (N, 3, H, W) to four local maps (N, c, H/s, W/s) and four global ones (N, c, H/64, W/64)."""
        maps = self.pyramid(image)
        tokens = self.blocks(pool_to_tokens(maps))
        return maps, list(tokens.split(self.channels, dim=1))
