"""StrideFormer, PP-MobileSeg's backbone: MobileNetV3 stages, and strided axial attention on the deep ones.

Source: Tang et al., "PP-MobileSeg: Explore the Fast and Accurate Semantic Segmentation Model on Mobile
Devices" (arXiv 2304.05152), and the tables of PaddleSeg's ``pp_mobileseg`` configurations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.mobilenet_v3 import PADDLE, Block, Row
from mosaic_deploy.zoo.layers.drop_path import DropPath
from mosaic_deploy.zoo.layers.feed_forward import FeedForward
from mosaic_deploy.zoo.layers.layers import Resize
from mosaic_deploy.zoo.layers.separable import conv_bn

Size = Literal["base", "tiny"]

_POSITIONS = 16
"""Learned positions along an axis; other lengths are interpolated."""
_DROP_PATH = 0.1
"""Chance that the last block of a transformer is skipped for an image; the first has 0, rising evenly."""


@dataclass(frozen=True, slots=True)
class Transformer:
    """How many attention blocks follow a stage, their heads, channels of a key, and the FFN's expansion."""

    blocks: int
    heads: int
    key: int
    ratio: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Bottlenecks, of which one has stride 2, and the transformer on top of them."""

    rows: tuple[Row, ...]
    transformer: Transformer | None = None

    @property
    def out(self) -> int:
        """Channels that the stage gives."""
        return self.rows[-1].out


def _pair(kernel: int, expanded: int, out: int, *, first: int | None = None) -> tuple[Row, Row]:
    wide = first or expanded
    return Row(kernel, wide, out, "se", "hard_swish", 2), Row(kernel, expanded, out, "se", "hard_swish")


def _start(expanded: int, out: int) -> tuple[Row, ...]:
    return (
        Row(3, 16, 16, "se", "relu"),
        Row(3, 64, 32, "-", "relu", 2),
        Row(3, expanded, out, "-", "relu"),
    )


STAGES: dict[Size, tuple[Stage, ...]] = {
    "base": (
        Stage(_start(96, 32)),
        Stage(_pair(5, 240, 64, first=128)),
        Stage(_pair(5, 384, 128), Transformer(blocks=3, heads=8, key=16, ratio=2)),
        Stage(_pair(5, 768, 192), Transformer(blocks=3, heads=8, key=24, ratio=4)),
    ),
    "tiny": (
        Stage(_start(48, 24)),
        Stage(_pair(5, 96, 32)),
        Stage(_pair(5, 160, 64), Transformer(blocks=2, heads=4, key=16, ratio=2)),
        Stage(_pair(3, 384, 128), Transformer(blocks=2, heads=4, key=24, ratio=4)),
    ),
}
"""The stages of strides 4, 8, 16 and 32."""

_STEM = 16


@final
class AxialAttention(nn.Module):
    """Attention among the rows, or among the columns, of a map, each a mean over the other axis."""

    def __init__(self, heads: int, key: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, key**-0.5
        self.query_positions = nn.Parameter(torch.empty(1, heads * key, _POSITIONS))
        self.key_positions = nn.Parameter(torch.empty(1, heads * key, _POSITIONS))
        nn.init.trunc_normal_(self.query_positions, std=0.02)
        nn.init.trunc_normal_(self.key_positions, std=0.02)
        self.project = nn.Sequential(nn.ReLU6(), conv_bn(2 * heads * key, 2 * heads * key))
        _start_at_zero(self.project)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *, axis: int) -> Tensor:
        """Map (N, h*k, H, W) twice and (N, 2*h*k, H, W) to (N, 2*h*k, H, 1).

        ``axis`` is the one that is averaged away, 3 as above; 2 gives (N, 2*h*k, 1, W).
        """
        q = self._split(_placed(query.mean(axis), self.query_positions)).transpose(2, 3)
        k = self._split(_placed(key.mean(axis), self.key_positions))
        v = self._split(value.mean(axis)).transpose(2, 3)
        weights = torch.softmax(q @ k * self.scale, dim=3)
        seen = (weights @ v).transpose(2, 3).reshape(value.shape[0], value.shape[1], -1)
        y: Tensor = self.project(seen.unsqueeze(axis))
        return y

    def _split(self, x: Tensor) -> Tensor:
        """Give each head its channels: (N, h*d, L) to (N, h, d, L)."""
        return x.reshape(x.shape[0], self.heads, x.shape[1] // self.heads, x.shape[2])


def _placed(x: Tensor, positions: Tensor) -> Tensor:
    """Add the positions, interpolated to the length of ``x`` (N, C, L)."""
    length = int(x.shape[2])
    if length != _POSITIONS:
        positions = nn.functional.interpolate(positions, size=length, mode="linear", align_corners=False)
    return x + positions


def _start_at_zero(module: nn.Module) -> None:
    """Let batch norms begin with scale 0, so that a branch fades in."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.zeros_(norm.weight)


@final
class StridedAttention(nn.Module):
    """SeaFormer's squeeze-enhanced axial attention, computed at half the map's size.

    Attention among rows and among columns gates what depthwise convolutions see of queries, keys and
    values; the result is resized to the map again.
    """

    def __init__(self, channels: int, transformer: Transformer, *, strided: bool) -> None:
        super().__init__()
        keys = transformer.heads * transformer.key
        self.stride = (
            conv_bn(channels, channels, 3, stride=2, groups=channels, bias=True) if strided else nn.Identity()
        )
        self.query, self.key = conv_bn(channels, keys), conv_bn(channels, keys)
        self.value = conv_bn(channels, 2 * keys)
        self.local = nn.Sequential(
            conv_bn(4 * keys, 4 * keys, 3, groups=4 * keys, activation="relu6"),
            conv_bn(4 * keys, channels),
        )
        self.rows = AxialAttention(transformer.heads, transformer.key)
        self.columns = AxialAttention(transformer.heads, transformer.key)
        self.project = nn.Sequential(nn.ReLU6(), conv_bn(2 * keys, channels))
        _start_at_zero(self.project)
        self.gate = nn.Hardsigmoid()
        self.resize = Resize("half_pixel")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        size = (int(x.shape[2]), int(x.shape[3]))
        x = self.stride(x)
        q, k, v = self.query(x), self.key(x), self.value(x)
        local = self.local(torch.cat([q, k, v], dim=1))
        seen = v + self.rows(q, k, v, axis=3) + self.columns(q, k, v, axis=2)
        y: Tensor = self.resize(self.gate(self.project(seen)) * local, size)
        return y


@final
class TransformerBlock(nn.Module):
    """Strided attention and a feed-forward layer, each added to what came in."""

    def __init__(self, channels: int, transformer: Transformer, *, strided: bool, drop: float) -> None:
        super().__init__()
        self.attention = StridedAttention(channels, transformer, strided=strided)
        self.feed_forward = FeedForward(channels, transformer.ratio * channels)
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        x = x + self.drop_path(self.attention(x))
        y: Tensor = x + self.drop_path(self.feed_forward(x))
        return y


@final
class StagedBlocks(nn.Sequential):
    """The blocks of a stage, one after the other; of a bottleneck the output alone goes on."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the last block's output."""
        for block in self:
            y = block(x)
            x = y[0] if isinstance(block, Block) else y
        return x


@final
class StrideFormer(nn.Module):
    """(N, 3, H, W) to the maps of strides 8, 16 and 32; ``channels`` says how many each has."""

    def __init__(self, size: Size, *, strided: bool) -> None:
        super().__init__()
        stages = STAGES[size]
        self.channels = tuple(stage.out for stage in stages[1:])
        self.stem = conv_bn(3, _STEM, 3, stride=2, activation="hard_swish")
        widths = (_STEM, *(stage.out for stage in stages))
        self.stages = nn.ModuleList(
            _stage(width, stage, strided=strided) for width, stage in zip(widths[:-1], stages, strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return [x8, x16, x32]."""
        x = self.stem(image)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


def _stage(channels: int, stage: Stage, *, strided: bool) -> StagedBlocks:
    parts: list[nn.Module] = []
    for row in stage.rows:
        parts.append(Block(channels, row, PADDLE))
        channels = row.out
    if (transformer := stage.transformer) is not None:
        last = max(transformer.blocks - 1, 1)
        for index in range(transformer.blocks):
            drop = _DROP_PATH * index / last
            parts.append(TransformerBlock(channels, transformer, strided=strided, drop=drop))
    return StagedBlocks(*parts)
