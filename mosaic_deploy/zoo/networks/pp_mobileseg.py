"""PP-MobileSeg, base and tiny: StrideFormer, and maps of three strides fused by attention.

Source: Tang et al., "PP-MobileSeg: Explore the Fast and Accurate Semantic Segmentation Model on Mobile
Devices" (arXiv 2304.05152), and PaddleSeg's ``pp_mobileseg`` (Apache-2.0) for what the paper leaves open.

    image -> StrideFormer -> x8, x16, x32
          -> details of the fine maps, times sigmoid gates of every map, plus semantics of x32  (256 channels)
          -> 1x1 depthwise, ReLU -> class scores -> resized to the image

``simplified`` fuses at stride 8 and takes details of x8 alone, as base does; ``full`` fuses at stride 16
and takes details of x8 and x16, as tiny does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.strideformer import Size, StrideFormer
from mosaic_deploy.zoo.layers.layers import Resize
from mosaic_deploy.zoo.layers.separable import conv_bn
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure

Aggregation = Literal["simplified", "full"]

_FUSED = 256
_PUBLISHED: dict[Size, Aggregation] = {"base": "simplified", "tiny": "full"}


@dataclass(frozen=True, slots=True)
class PPMobileSegConfig:
    """The switches; the defaults are the published base network for ADE20K."""

    classes: int = 150
    size: Size = "base"
    """Widths and depths of the backbone."""
    aggregation: Aggregation | None = None
    """How maps are fused; where it is not said, as the published network of that size does."""
    strided: bool = True
    """Whether attention works at half the size of its map."""
    head: Head = "logits"
    """``logits`` at image size, ``lowres`` logits as decoded, or the ``classmap`` itself."""
    dropout: float = 0.1
    """Share of channels in [0, 1) that are dropped before the classifier in training."""

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if self.classes < 1:
            raise ValueError("classes must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, and must be in [0, 1)")


@final
class Simplified(nn.Module):
    """gates(x16, x32) * details(x8) + semantics(x32), at stride 8."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        x8, x16, x32 = channels
        self.detail = conv_bn(x8, _FUSED)
        self.gate16, self.gate32 = (nn.Sequential(conv_bn(c, _FUSED), nn.Sigmoid()) for c in (x16, x32))
        self.semantics = conv_bn(x32, _FUSED)
        self.resize = Resize("half_pixel")

    def forward(self, x8: Tensor, x16: Tensor, x32: Tensor) -> Tensor:
        """Map the three maps to (N, 256, H/8, W/8)."""
        size = _size(x8)
        gates = self.gate16(self.resize(x16, size)) * self.resize(self.gate32(x32), size)
        y: Tensor = gates * self.detail(x8) + self.resize(self.semantics(x32), size)
        return y


@final
class Full(nn.Module):
    """gates(x8, x16, x32) * (details(x8) + details(x16)) + semantics(x32), at stride 16."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        x8, x16, x32 = channels
        self.detail8, self.detail16 = conv_bn(x8, _FUSED), conv_bn(x16, _FUSED)
        self.gate8, self.gate16, self.gate32 = (
            nn.Sequential(conv_bn(c, _FUSED), nn.Sigmoid()) for c in channels
        )
        self.semantics = conv_bn(x32, _FUSED)
        self.resize = Resize("half_pixel")

    def forward(self, x8: Tensor, x16: Tensor, x32: Tensor) -> Tensor:
        """Map the three maps to (N, 256, H/16, W/16)."""
        size = _size(x16)
        x8 = self.resize(x8, size)
        gates = self.gate8(x8) * self.gate16(x16) * self.resize(self.gate32(x32), size)
        detail = self.detail8(x8) + self.detail16(x16)
        y: Tensor = gates * detail + self.resize(self.semantics(x32), size)
        return y


def _size(x: Tensor) -> tuple[int, int]:
    return int(x.shape[2]), int(x.shape[3])


_AGGREGATIONS: dict[Aggregation, type[Simplified | Full]] = {"simplified": Simplified, "full": Full}


@final
class PPMobileSeg(Network):
    """The whole network; its scores have stride 8 where the aggregation is simplified, else 16."""

    def __init__(self, config: PPMobileSegConfig) -> None:
        super().__init__(head=config.head, sampling="half_pixel")
        self.config = config
        self.backbone = StrideFormer(config.size, strided=config.strided)
        aggregation = _AGGREGATIONS[config.aggregation or _PUBLISHED[config.size]]
        self.aggregation = aggregation(self.backbone.channels)
        self.mix = conv_bn(_FUSED, _FUSED, groups=_FUSED, activation="relu")
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(_FUSED, config.classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, classes, H/8, W/8), or H/16 and W/16 of the full aggregation.

        Sides that are no multiples of 32 are rounded up at each stride.
        """
        y: Tensor = self.classifier(self.dropout(self.mix(self.aggregation(*self.backbone(image)))))
        return y


def build(**switches: object) -> PPMobileSeg:
    """Make PP-MobileSeg from the names and plain values that a model card may hold.

    Raises ``SpecError`` for a switch that is none, or a value that makes no network.
    """
    return PPMobileSeg(configure(PPMobileSegConfig, switches))
