"""TopFormer and Efficient-TopFormer: attention on a grid of stride 64 tells a small CNN what the image holds.

Sources: Wenqiang Zhang et al., "TopFormer" (arXiv 2204.05525, github.com/hustvl/TopFormer), and
Efficient-TopFormer, the sizes that a search in the same skeleton found (github.com/wmkai/NAS).

    image -> token pyramid transformer: local maps at strides 8, 16, 32, and the tokens' part for each
          -> injection: local * gate(tokens) + tokens, at each stride
          -> resized to stride 8 and added -> 1x1 conv -> class scores at stride 8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.token_pyramid import TokenTransformer
from mosaic_deploy.zoo.backbones.token_pyramid_variants import VARIANTS, Family, Size
from mosaic_deploy.zoo.layers.activations import gate
from mosaic_deploy.zoo.layers.layers import Resize
from mosaic_deploy.zoo.layers.separable import conv_bn
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure


@dataclass(frozen=True, slots=True)
class TopFormerConfig:
    """The switches; the defaults are TopFormer-B for ADE20K."""

    family: Family = "topformer"
    """The hand-made sizes, or those that were searched for."""
    size: Size = "base"
    classes: int = 150
    """Outputs of the network."""
    head: Head = "logits"
    """``logits`` at image size, ``lowres`` logits at stride 8, or the ``classmap`` itself."""
    drop_path: float = 0.1
    """Share in [0, 1) of images for which training leaves out the last transformer block's branches."""
    dropout: float = 0.1
    """Share of channels in [0, 1) that are dropped before the classifier in training."""

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if self.classes < 1:
            raise ValueError("classes must be at least 1")
        for name, share in (("drop_path", self.drop_path), ("dropout", self.dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}, and must be in [0, 1)")


@final
class Injection(nn.Module):
    """Tokens weigh a local map and are added to it."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.local = conv_bn(channels, out)
        self.weigh = conv_bn(channels, out)
        self.add = conv_bn(channels, out)
        self.gate = gate("hard_sigmoid")
        self.resize = Resize("half_pixel")

    def forward(self, local: Tensor, tokens: Tensor) -> Tensor:
        """Map (N, C, H, W) and (N, C, h, w) to (N, out, H, W)."""
        size = int(local.shape[2]), int(local.shape[3])
        weights = self.resize(self.gate(self.weigh(tokens)), size)
        y: Tensor = self.local(local) * weights + self.resize(self.add(tokens), size)
        return y


@final
class TopFormer(Network):
    """The whole network; its scores have stride 8, rounded up for images of any size."""

    def __init__(self, config: TopFormerConfig) -> None:
        super().__init__(head=config.head, sampling="half_pixel")
        self.config = config
        variant = VARIANTS[config.family][config.size]
        width = variant.joined
        self.backbone = TokenTransformer(variant, config.drop_path)
        self.injections = nn.ModuleList(Injection(c, width) for c in self.backbone.channels[1:])
        groups = width if variant.depthwise_fuse else 1
        self.fuse = conv_bn(width, width, groups=groups, activation="relu")
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = nn.Conv2d(width, config.classes, 1)

    def scores(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, classes, ceil(H / 8), ceil(W / 8))."""
        maps, tokens = self.backbone(image)
        joined = [
            injection(local, seen)
            for injection, local, seen in zip(self.injections, maps[1:], tokens[1:], strict=True)
        ]
        total = joined[0]
        for coarse in joined[1:]:
            total = total + self.resize(coarse, (int(total.shape[2]), int(total.shape[3])))
        y: Tensor = self.classifier(self.dropout(self.fuse(total)))
        return y


def build(**switches: object) -> TopFormer:
    """Make it from the plain values that a model card may hold; raises ``SpecError`` for what makes none."""
    return TopFormer(configure(TopFormerConfig, switches))
