"""The trunks by the names that cards give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, final

from torch import Tensor

from mosaic_deploy.zoo.backbones.mnmh import Backbone
from mosaic_deploy.zoo.backbones.mobilenet_v3 import TENSORFLOW, MobileNetV3, Size, rows
from mosaic_deploy.zoo.backbones.resnet_beta import ResNetBeta
from mosaic_deploy.zoo.backbones.trunk import Trunk
from mosaic_deploy.zoo.backbones.xception71 import Xception71
from mosaic_deploy.zoo.layers.layers import Padding

Other = Literal["mobilenet_v3_small", "mobilenet_v3_large", "resnet50", "resnet101", "xception71"]
BackboneName = Literal["mnmh", Other]

_TAPS: dict[Size, dict[int, int]] = {"small": {1: 4, 3: 8}, "large": {3: 4, 6: 8}}


@final
class MobileNetV3Trunk(Trunk):
    """MobileNetV3 with the reduced tail; the skips are expanded activations, before squeezing."""

    def __init__(self, size: Size, padding: Padding) -> None:
        table = rows(size, reduced=True, output_stride=16)
        net = MobileNetV3(table, replace(TENSORFLOW, padding=padding))
        self.taps = _TAPS[size]
        skips = {stride: table[block - 1].expanded for block, stride in self.taps.items()}
        super().__init__(channels=net.channels, skip_channels=skips)
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the stride-16 features and ``{4: ..., 8: ...}``."""
        features = self.net(image)
        return features.last, {stride: features.expanded[block] for block, stride in self.taps.items()}


def mnmh(channels: int, *, block13_dilation: int = 1, padding: Padding = "same") -> Backbone:
    """MobileNet Multi-Hardware with that many output channels."""
    return Backbone(channels, block13_dilation=block13_dilation, padding=padding)


def other(name: Other, *, padding: Padding = "same") -> Trunk:
    """A backbone whose channels are its own.

    ``padding`` is of strided convolutions in MobileNetV3; ResNet's and Xception's are padded alike on all
    sides, here as in TensorFlow. Raises ``ToolError`` where these two need timm and it is missing.
    """
    match name:
        case "mobilenet_v3_small":
            return MobileNetV3Trunk("small", padding)
        case "mobilenet_v3_large":
            return MobileNetV3Trunk("large", padding)
        case "resnet50":
            return ResNetBeta(50)
        case "resnet101":
            return ResNetBeta(101)
        case "xception71":
            return Xception71()
