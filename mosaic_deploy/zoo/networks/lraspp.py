"""LR-ASPP on MobileNetV3: the segmentation head of the MobileNetV3 paper.

Source: Andrew Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244), section 5.4, in the form of
DeepLab's model zoo (TensorFlow models); and torchvision's ``lraspp_mobilenet_v3_large``.

    image -> backbone -> 1x1 conv, times a gate made of the whole image -> resized to stride 8
                      -> class scores, plus class scores of a skip of stride 8

TensorFlow's skip is the *expanded* activation of the last block of stride 8, before squeezing; torchvision's
the output of the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor, nn

from mosaic_deploy.errors import ModelError
from mosaic_deploy.zoo.backbones.choice import mnmh
from mosaic_deploy.zoo.backbones.mnmh import Backbone
from mosaic_deploy.zoo.backbones.mobilenet_v3 import (
    TENSORFLOW,
    TORCHVISION,
    Features,
    MobileNetV3,
    Size,
    rows,
)
from mosaic_deploy.zoo.layers.activations import Gate, gate
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Sampling
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure

_OPEN = {"large": 6, "small": 3}  # block whose expanded activations have stride 8
_MNMH_CHANNELS = 480
_FIRST_OF_STRIDE_8 = {"large": 4, "small": 2}


@dataclass(frozen=True, slots=True)
class LrAsppConfig:
    """The switches; the defaults are MobileNetV3-large with the reduced tail, for Cityscapes."""

    classes: int = 19
    backbone: Literal["mobilenet_v3", "mnmh"] = "mobilenet_v3"
    """MobileNetV3, or MobileNet Multi-Hardware with 480 channels, as MOSAIC's paper compares them."""
    size: Size = "large"
    reduced: bool = True
    """Whether the last stage has half of its channels."""
    output_stride: Literal[16, 32] = 16
    form: Literal["tensorflow", "torchvision"] = "tensorflow"
    filters: int = 128
    """Channels between the backbone and the scores."""
    window: int = 0
    """Side of the square over which the gate's average pool runs; 0 is the whole image."""
    window_stride: tuple[int, int] = (16, 20)
    """Vertical and horizontal step of the window."""
    gate: Gate = "hard_sigmoid"
    sampling: Sampling = "half_pixel"
    head: Head = "logits"

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if min(self.classes, self.filters, *self.window_stride) < 1 or self.window < 0:
            raise ValueError("classes, filters and window_stride are at least 1, window at least 0")
        if self.form == "torchvision" and (self.reduced or self.output_stride != 16):
            raise ValueError("torchvision's has the full width (reduced = false) at output stride 16")
        own = (self.size, self.reduced, self.output_stride, self.form)
        if self.backbone == "mnmh" and own != ("large", True, 16, "tensorflow"):
            raise ValueError(
                "size, reduced, output_stride and form are mobilenet_v3's: mnmh has none of them"
            )


@final
class LrAspp(Network):
    """The whole network; its scores have stride 8."""

    def __init__(self, config: LrAsppConfig) -> None:
        super().__init__(head=config.head, sampling=config.sampling)
        self.config = config
        ours = config.form == "tensorflow"
        table = rows(config.size, reduced=config.reduced, output_stride=config.output_stride)
        self.tap = (_OPEN if ours else _FIRST_OF_STRIDE_8)[config.size]
        row = table[self.tap - 1]
        skip_channels = row.expanded if ours else row.out
        self.backbone: MobileNetV3 | Backbone = MobileNetV3(table, TENSORFLOW if ours else TORCHVISION)
        if config.backbone == "mnmh":
            self.backbone = mnmh(_MNMH_CHANNELS)
            skip_channels = self.backbone.skip_channels[8]
        self.reduce = ConvBN(Conv(self.backbone.channels, config.filters, 1))
        self.context = nn.Conv2d(self.backbone.channels, config.filters, 1, bias=ours)
        self.gate = gate(config.gate if ours else "sigmoid")
        self.high = nn.Conv2d(config.filters, config.classes, 1)
        self.low = nn.Conv2d(skip_channels, config.classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Return the scores (N, classes, H/8, W/8).

        Raises ``ModelError`` where the gate's window is larger than the features.
        """
        last, skip = self._features(image)
        x = self.reduce(last) * self._gate(last)
        high = self.high(self.resize(x, (int(skip.shape[2]), int(skip.shape[3]))))
        y: Tensor = high + self.low(skip)
        return y

    def _features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last features and the skip of stride 8."""
        if isinstance(self.backbone, Backbone):
            last, skips = self.backbone(image)
            return last, skips[8]
        features: Features = self.backbone(image)
        taken = features.expanded if self.config.form == "tensorflow" else features.blocks
        return features.last, taken[self.tap]

    def _gate(self, x: Tensor) -> Tensor:
        """Weigh the channels of (N, C, h, w): (N, filters, 1, 1), or (N, filters, h, w) with a window."""
        size, side = (int(x.shape[2]), int(x.shape[3])), self.config.window
        if side == 0:
            whole: Tensor = self.gate(self.context(nn.functional.adaptive_avg_pool2d(x, 1)))
            return whole
        if min(size) < side:
            raise ModelError(
                f"a window of {side}x{side} does not fit {size[0]}x{size[1]} features: feed images of at "
                f"least {side * self.config.output_stride} pixels a side, or set window = 0"
            )
        pooled = nn.functional.avg_pool2d(x, side, self.config.window_stride)
        weights: Tensor = self.resize(self.gate(self.context(pooled)), size)
        return weights


def build(**switches: object) -> LrAspp:
    """Make the network from the names and plain values that a model card may hold.

    Raises ``SpecError`` for a switch that is none, or a value that makes no network.
    """
    return LrAspp(configure(LrAsppConfig, switches))
