"""MobileSeg: PaddleSeg's small segmenter, a context of three pools and additions from coarse to fine.

Source: PaddlePaddle's PaddleSeg, ``configs/mobileseg`` and the model of that name; it has no paper. Its
fusion without attention (``UAFMMobile``) is the one that all released networks have.

    image -> backbone: features at strides 8, 16, 32            (Lite-HRNet: 4, 8, 16)
          -> context of the coarsest: pools to 1x1, 2x2, 4x4, each 1x1 conv, resized, summed
          -> three fusions, from coarse to fine: lateral separable conv, plus what is coarser, separable conv
          -> head: separable conv, 1x1 conv -> class scores at the finest stride
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.ghostnet import GhostNet
from mosaic_deploy.zoo.backbones.lite_hrnet import LiteHRNet
from mosaic_deploy.zoo.backbones.mobilenet_v2 import PYTORCH, MobileNetV2
from mosaic_deploy.zoo.backbones.mobilenet_v3 import PADDLE, MobileNetV3, rows
from mosaic_deploy.zoo.backbones.shufflenet_v2 import ShuffleNetV2
from mosaic_deploy.zoo.layers.layers import Resize
from mosaic_deploy.zoo.layers.separable import depthwise, pointwise
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure

BackboneName = Literal["ghostnet", "lite_hrnet18", "mobilenet_v2", "mobilenet_v3_large", "shufflenet_v2"]


class Backbone(Protocol):
    """What gives features, the finest first."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each feature map."""

    def __call__(self, image: Tensor, /) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to feature maps (N, C, h, w)."""


@final
class PlainMobileNetV2(nn.Module):
    """What the last blocks of each stride give, in MobileNetV2 as PaddleSeg has it."""

    channels = (24, 32, 96, 320)

    def __init__(self) -> None:
        super().__init__()
        self.net = MobileNetV2(expand_first=True, style=PYTORCH)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to feature maps at strides 4, 8, 16 and 32."""
        outputs, _ = self.net(image)
        return tuple(outputs[stride] for stride in (4, 8, 16, 32))


@final
class LargeMobileNetV3(nn.Module):
    """What the last blocks of each stride give, in MobileNetV3-large as PaddleSeg has it."""

    channels = (24, 40, 112, 160)

    def __init__(self) -> None:
        super().__init__()
        self.net = MobileNetV3(rows("large"), PADDLE)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to feature maps at strides 4, 8, 16 and 32."""
        blocks = self.net(image).blocks
        return tuple(blocks[number] for number in (3, 6, 12, 15))


@dataclass(frozen=True, slots=True)
class Made:
    """How a backbone is made, and the index of the finest of the three feature maps that are used."""

    make: Callable[[], Backbone]
    finest: int


BACKBONES: Mapping[BackboneName, Made] = MappingProxyType(
    {
        "ghostnet": Made(GhostNet, 1),
        "lite_hrnet18": Made(LiteHRNet, 0),
        "mobilenet_v2": Made(PlainMobileNetV2, 1),
        "mobilenet_v3_large": Made(LargeMobileNetV3, 1),
        "shufflenet_v2": Made(ShuffleNetV2, 1),
    }
)
"""Name of a backbone, as cards have it -> how it is made."""


@dataclass(frozen=True, slots=True)
class MobileSegConfig:
    """The switches of MobileSeg; the defaults are those of all released networks."""

    backbone: BackboneName = "ghostnet"
    """Which network gives the features."""
    classes: int = 19
    """Outputs of the network."""
    bins: tuple[int, ...] = (1, 2, 4)
    """Grid sizes that the context pools the coarsest features to."""
    context_channels: int = 128
    """Channels of the context."""
    fusion_channels: tuple[int, int, int] = (32, 64, 128)
    """Channels that each fusion gives, the finest first."""
    head_channels: int = 32
    """Channels inside each head."""
    head: Head = "logits"
    """``logits`` at image size, ``lowres`` logits as computed, or the ``classmap`` itself."""

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if min(self.classes, self.context_channels, self.head_channels, *self.fusion_channels) < 1:
            raise ValueError("classes and channels must be at least 1")
        if not self.bins or min(self.bins) < 1:
            raise ValueError(
                f"bins {list(self.bins)} must be numbers of at least 1, and one of them at least"
            )


def separable(channels: int, out: int) -> nn.Sequential:
    """A 3x3 depthwise convolution without activation, a 1x1 one with bias and ReLU; the size stays."""
    return nn.Sequential(depthwise(channels), pointwise(channels, out, bias=True))


def pool_to_grid(x: Tensor, bins: int) -> Tensor:
    """Average (N, C, H, W) to (N, C, bins, bins) over the windows of adaptive pooling.

    Window i of a side of length n reaches from i * n / bins, rounded down, to (i + 1) * n / bins, rounded
    up. Where bins is 1 that is a mean, where it divides both sides one pool with a fixed kernel. Elsewhere
    the windows differ in size, and are sliced one by one: an exported graph has no adaptive pooling either.
    """
    if bins == 1:
        return nn.functional.adaptive_avg_pool2d(x, 1)
    height, width = int(x.shape[2]), int(x.shape[3])
    if height % bins == 0 and width % bins == 0:
        return nn.functional.avg_pool2d(x, (height // bins, width // bins))
    rows = [x[:, :, low:high].mean(2, keepdim=True) for low, high in _windows(height, bins)]
    x = torch.cat(rows, dim=2)
    columns = [x[:, :, :, low:high].mean(3, keepdim=True) for low, high in _windows(width, bins)]
    return torch.cat(columns, dim=3)


def _windows(length: int, bins: int) -> list[tuple[int, int]]:
    return [(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]


@final
class Context(nn.Module):
    """Pools of the coarsest features, each through a 1x1 convolution and back to their size, summed."""

    def __init__(self, channels: int, out: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.bins = bins
        self.resize = Resize("half_pixel")
        self.branches = nn.ModuleList(pointwise(channels, out, bias=True) for _ in bins)
        self.project = separable(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, out, h, w)."""
        size = (int(x.shape[2]), int(x.shape[3]))
        pooled = [
            self.resize(branch(pool_to_grid(x, bins)), size)
            for bins, branch in zip(self.bins, self.branches, strict=True)
        ]
        total = pooled[0]
        for branch in pooled[1:]:
            total = total + branch
        y: Tensor = self.project(total)
        return y


@final
class Fusion(nn.Module):
    """Features brought to the channels of what is coarser, added to it, and convolved."""

    def __init__(self, channels: int, coarser: int, out: int) -> None:
        super().__init__()
        self.resize = Resize("half_pixel")
        self.lateral = separable(channels, coarser)
        self.project = separable(coarser, out)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        """Map (N, C, H, W) and (N, coarser, h, w) to (N, out, H, W)."""
        size = (int(x.shape[2]), int(x.shape[3]))
        y: Tensor = self.project(self.lateral(x) + self.resize(coarser, size))
        return y


@final
class MobileSeg(Network):
    """The whole network; its scores have the stride of the finest features that it uses."""

    def __init__(self, config: MobileSegConfig) -> None:
        super().__init__(head=config.head, sampling="half_pixel")
        self.config = config
        made = BACKBONES[config.backbone]
        self.backbone = made.make()
        self.used = slice(made.finest, made.finest + 3)
        channels = self.backbone.channels[self.used]
        self.context = Context(channels[-1], config.context_channels, config.bins)
        coarser = (*config.fusion_channels[1:], config.context_channels)
        self.fusions = nn.ModuleList(
            Fusion(*widths) for widths in zip(channels, coarser, config.fusion_channels, strict=True)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                separable(width, config.head_channels),
                nn.Conv2d(config.head_channels, config.classes, 1, bias=False),
            )
            for width in config.fusion_channels
        )

    def scores(self, image: Tensor) -> Tensor:
        """Return (N, classes, H/8, W/8) scores; H/4, W/4 with Lite-HRNet."""
        scores: Tensor = self.heads[0](self._fused(image)[0])
        return scores

    def training_scores(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what :meth:`scores` does, and the scores of the two coarser fusions, each at its stride."""
        fused = self._fused(image)
        return tuple(head(x) for head, x in zip(self.heads, fused, strict=True))

    def _fused(self, image: Tensor) -> list[Tensor]:
        """The three fusions, the finest first."""
        features = self.backbone(image)[self.used]
        fused = [self.context(features[-1])]
        for fusion, x in zip(reversed(self.fusions), reversed(features), strict=True):
            fused.insert(0, fusion(x, fused[0]))
        return fused[:-1]


def build(**switches: object) -> MobileSeg:
    """Make MobileSeg from the names and plain values that a model card may hold.

    Raises ``SpecError`` for a switch that is none, or a value that makes no network.
    """
    return MobileSeg(configure(MobileSegConfig, switches))
