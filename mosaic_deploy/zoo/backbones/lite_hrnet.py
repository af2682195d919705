"""Lite-HRNet-18: branches of several resolutions to the end, weighed by each other, and an iterative head.

Source: Yu et al., "Lite-HRNet: A Lightweight High-Resolution Network" (arXiv 2104.06403), figures 2 and 3 and
table 1, in the form of PaddlePaddle's PaddleSeg. Two of that code's habits are left out, so published weights
give other results here: it counts what branch 0 contributes to a fusion twice, and freezes batch norms.

    image -> stem, stride 4 -> stages of 2, 3 and 4 branches (strides 4, 8, 16, 32)
          -> head: from coarse to fine, each branch projected, resized and added to the next finer one
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.errors import ModelError
from mosaic_deploy.zoo.layers.activations import Activation
from mosaic_deploy.zoo.layers.separable import depthwise, pointwise, stem
from mosaic_deploy.zoo.layers.shuffle import shuffle_channels
from mosaic_deploy.zoo.layers.squeeze import SqueezeExcite

_STEM_CHANNELS = 32
_WIDTHS = (40, 80, 160, 320)
_MODULES = (2, 4, 2)  # of the stages with 2, 3 and 4 branches
_COARSEST = 32


def separable(channels: int, out: int, *, stride: int = 1, activation: Activation = "relu") -> nn.Sequential:
    """3x3 depthwise without activation, 1x1: (N, C, H, W) to (N, out, H / stride, W / stride)."""
    return nn.Sequential(depthwise(channels, stride=stride), pointwise(channels, out, activation))


@final
class Stem(nn.Module):
    """A convolution of stride 2, then both halves of its channels brought to stride 4 on their own ways."""

    def __init__(self) -> None:
        super().__init__()
        half = _STEM_CHANNELS // 2
        self.conv = stem(_STEM_CHANNELS)
        self.plain = separable(half, half, stride=2)
        self.expanded = nn.Sequential(
            pointwise(half, _STEM_CHANNELS), separable(_STEM_CHANNELS, half, stride=2)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, 32, H/4, W/4)."""
        plain, expanded = self.conv(image).chunk(2, dim=1)
        return shuffle_channels(torch.cat([self.plain(plain), self.expanded(expanded)], dim=1), 2)


@final
class CrossResolutionWeights(nn.Module):
    """Every branch times gates that all branches, pooled to the coarsest one's size, were mixed to."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        total = sum(widths)
        self.reduce = pointwise(total, total // 8)
        self.expand = pointwise(total // 8, total, "none")

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a tensor per branch, the finest first, to as many of the same shapes."""
        coarsest = len(branches) - 1
        pooled = [
            nn.functional.avg_pool2d(x, 2 ** (coarsest - i)) if i < coarsest else x
            for i, x in enumerate(branches)
        ]
        gates = self.expand(self.reduce(torch.cat(pooled, dim=1))).sigmoid().split(self.widths, dim=1)
        return [
            x * enlarge(gate, coarsest - i) for i, (x, gate) in enumerate(zip(branches, gates, strict=True))
        ]


def enlarge(x: Tensor, doublings: int) -> Tensor:
    """Repeat each pixel, 2 ** doublings times along both sides."""
    return nn.functional.interpolate(x, scale_factor=2**doublings, mode="nearest") if doublings else x


@final
class Weighting(nn.Module):
    """Conditional channel weighting: per branch, half of the channels pass and the others are weighed.

    They are weighed by all branches together, filtered 3x3, and weighed again by their own mean.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        halves = [width // 2 for width in widths]
        self.weigh = CrossResolutionWeights(halves)
        self.filters = nn.ModuleList(
            nn.Sequential(depthwise(half), SqueezeExcite(half, half // 4, "sigmoid")) for half in halves
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a tensor per branch, the finest first, to as many of the same shapes, shuffled."""
        parts = [x.chunk(2, dim=1) for x in branches]
        weighed = self.weigh([seen for _, seen in parts])
        return [
            shuffle_channels(torch.cat([kept, layers(x)], dim=1), 2)
            for (kept, _), layers, x in zip(parts, self.filters, weighed, strict=True)
        ]


@final
class Fusion(nn.Module):
    """Every branch becomes the sum of all, each brought to its resolution and channels, and rectified."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    @staticmethod
    def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return pointwise(widths[source], widths[target], "none")
        steps = [separable(widths[source], widths[source], stride=2) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, separable(widths[source], widths[target], stride=2, activation="none"))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a tensor per branch, the finest first, to as many of the same shapes."""
        fused = []
        for target, paths in enumerate(self.paths):
            assert isinstance(paths, nn.ModuleList)
            terms = [
                enlarge(path(x), max(source - target, 0))
                for source, (path, x) in enumerate(zip(paths, branches, strict=True))
            ]
            fused.append(sum(terms[1:], start=terms[0]).relu())
        return fused


@final
class IterativeHead(nn.Module):
    """From coarse to fine: project to the next finer branch's channels, resize with aligned corners, add."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        finer = (widths[0], *widths[:-1])
        self.projections = nn.ModuleList(
            separable(width, out) for width, out in zip(widths, finer, strict=True)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a tensor per branch, the finest first, to their projections."""
        projected: list[Tensor] = []
        for x, project in zip(reversed(branches), reversed(self.projections), strict=True):
            if projected:
                size = (int(x.shape[2]), int(x.shape[3]))
                x = x + nn.functional.interpolate(projected[0], size, mode="bilinear", align_corners=True)
            projected.insert(0, project(x))
        return projected


@final
class LiteHRNet(nn.Module):
    """The backbone; its features have 40, 40, 80 and 160 channels at strides 4, 8, 16 and 32."""

    channels = (_WIDTHS[0], *_WIDTHS[:-1])

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.entry = separable(_STEM_CHANNELS, _WIDTHS[0])
        sources = (_STEM_CHANNELS, *_WIDTHS[1:])
        self.deeper = nn.ModuleList(
            separable(source, width, stride=2) for source, width in zip(sources, _WIDTHS[1:], strict=False)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(layer for _ in range(modules) for layer in _module(_WIDTHS[:branches])))
            for branches, modules in enumerate(_MODULES, start=2)
        )
        self.head = IterativeHead(_WIDTHS)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to its four feature maps, the finest first.

        Raises ``ModelError`` where H or W is no multiple of 32: branches of several resolutions would not
        lie on one another.
        """
        height, width = int(image.shape[2]), int(image.shape[3])
        if height % _COARSEST or width % _COARSEST:
            raise ModelError(
                f"Lite-HRNet halves a {height}x{width} image five times: "
                f"both sides must be multiples of {_COARSEST}"
            )
        last = self.stem(image)
        branches = [self.entry(last)]
        for deeper, stage in zip(self.deeper, self.stages, strict=True):
            branches = stage([*branches, deeper(last)])
            last = branches[-1]
        return tuple(self.head(branches))


def _module(widths: Sequence[int]) -> tuple[nn.Module, ...]:
    return Weighting(widths), Weighting(widths), Fusion(widths)
