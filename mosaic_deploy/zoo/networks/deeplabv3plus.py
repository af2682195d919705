"""DeepLabV3+ on MobileNetV2: the segmentation network of MLPerf Mobile v0.7 to v1.1.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation"
(arXiv 1802.02611), and the graph that MLCommons ships for MLPerf Mobile (``vision/deeplab`` of the repository
mlcommons/mobile_open), which has no atrous branches: its pyramid is the image's mean and a 1x1 convolution.

    image -> MobileNetV2 at stride 16 -> mean and 1x1 convolution, concat, 1x1 convolution
          -> resized to stride 4, concat with a projected skip -> two separable convolutions
          -> class scores at stride 4 -> resized to the image

The skip is the *expanded* activation inside the third block, after its depthwise convolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.mobilenet_v2 import TENSORFLOW, MobileNetV2, OutputStride
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Padding, Resize, Sampling
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure

_STRIDE: OutputStride = 16
_FEATURES = 320
_SKIP_STRIDE, _EXPANDED = 4, 144
_FILTERS, _SKIP_FILTERS = 256, 48
_EPS = 1e-5  # of the batch norms behind the backbone


@dataclass(frozen=True, slots=True)
class DeepLabV3PlusConfig:
    """The switches; the defaults are MLPerf's graph."""

    classes: int = 32
    """Outputs of the network."""
    decoder: bool = True
    """Whether scores are made at stride 4 with the skip, or straight from the pyramid at stride 16."""
    sampling: Sampling = "asymmetric"
    """Where the samples of every bilinear resize lie, in ONNX's words."""
    padding: Padding = "same"
    """``same`` pads strided convolutions as TensorFlow does."""
    head: Head = "logits"
    """``logits`` at image size, ``lowres`` logits as decoded, or the ``classmap`` itself."""
    dropout: float = 0.1
    """Share of channels in [0, 1) that are dropped after the pyramid in training."""

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if self.classes < 1:
            raise ValueError("classes must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, and must be in [0, 1)")


@final
class Pyramid(nn.Module):
    """The image's mean beside a 1x1 convolution, joined and projected."""

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__()
        self.resize = Resize(config.sampling)
        self.mean = ConvBN(Conv(_FEATURES, _FILTERS, 1), eps=_EPS)
        self.point = ConvBN(Conv(_FEATURES, _FILTERS, 1), eps=_EPS)
        self.project = ConvBN(Conv(2 * _FILTERS, _FILTERS, 1), eps=_EPS)
        self.dropout = nn.Dropout2d(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 320, h, w) to (N, 256, h, w)."""
        mean = self.mean(nn.functional.adaptive_avg_pool2d(x, 1))
        spread = self.resize(mean, (int(x.shape[2]), int(x.shape[3])))
        y: Tensor = self.dropout(self.project(torch.cat([spread, self.point(x)], dim=1)))
        return y


@final
class Separable(nn.Module):
    """A 3x3 depthwise and a 1x1 convolution, both rectified."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = ConvBN(Conv(channels, channels, 3, groups=channels), eps=_EPS)
        self.point = ConvBN(Conv(channels, _FILTERS, 1), eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 256, H, W)."""
        y: Tensor = self.point(self.depthwise(x))
        return y


@final
class Decoder(nn.Module):
    """The pyramid's output, enlarged, joined with the projected skip and refined."""

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__()
        self.resize = Resize(config.sampling)
        self.skip = ConvBN(Conv(_EXPANDED, _SKIP_FILTERS, 1), eps=_EPS)
        self.refine = nn.Sequential(Separable(_FILTERS + _SKIP_FILTERS), Separable(_FILTERS))

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        """Map (N, 256, h, w) and (N, 144, H, W) to (N, 256, H, W)."""
        fine = self.skip(skip)
        enlarged = self.resize(low, (int(fine.shape[2]), int(fine.shape[3])))
        y: Tensor = self.refine(torch.cat([enlarged, fine], dim=1))
        return y


@final
class DeepLabV3Plus(Network):
    """The whole network; its scores have stride 4, or 16 without the decoder."""

    def __init__(self, config: DeepLabV3PlusConfig) -> None:
        super().__init__(head=config.head, sampling=config.sampling)
        self.backbone = MobileNetV2(output_stride=_STRIDE, style=replace(TENSORFLOW, padding=config.padding))
        self.pyramid = Pyramid(config)
        self.decoder = Decoder(config) if config.decoder else None
        self.classifier = nn.Conv2d(_FILTERS, config.classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [-1, 1] to (N, classes, H/4, W/4)."""
        outputs, expansions = self.backbone(image)
        x = self.pyramid(outputs[_STRIDE])
        if self.decoder is not None:
            x = self.decoder(x, expansions[_SKIP_STRIDE])
        scores: Tensor = self.classifier(x)
        return scores


def build(**switches: object) -> DeepLabV3Plus:
    """Make the network from a card's switches.

    Raises ``SpecError`` for a switch that is none, or a value that makes no network.
    """
    return DeepLabV3Plus(configure(DeepLabV3PlusConfig, switches))
