"""MOSAIC: Google's mobile segmenter, with every switch of its paper's ablations.

Source: Weijun Wang and Andrew Howard, "MOSAIC: Mobile Segmentation via decoding Aggregated Information
and encoded Context" (arXiv 2112.11623), tables 1-8, and the graph that MLCommons ships for MLPerf
Mobile v2.0 (revision R4).

    image -> stem -> 16 inverted bottlenecks -> 1x1 conv            (MNMH, or another backbone; stride 16)
          -> pyramid of average pools, each through multi-kernel group convolutions, concat, 1x1 conv
          -> hybrid decoder: merges with skips of stride 8 (concat) and 4 (sum)
          -> class scores at the stride of the last merge -> resized to the image

The skips are the *expanded* activations inside bottlenecks 2 and 6, taken after their depthwise
convolution; the other backbones of the paper's table 6 say which theirs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from mosaic_deploy.errors import ModelError, SpecError
from mosaic_deploy.zoo.backbones.choice import BackboneName, mnmh, other
from mosaic_deploy.zoo.backbones.trunk import Trunk
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN, Padding, Resize, Sampling
from mosaic_deploy.zoo.network import Head, Network
from mosaic_deploy.zoo.switches import configure

Merge = Literal["concat", "sum"]


@dataclass(frozen=True, slots=True)
class Skip:
    """One merge of the decoder: the ``stride`` of the tensor that joins (8, 4 or 2), and how."""

    stride: int
    merge: Merge


@dataclass(frozen=True, slots=True)
class MosaicConfig:
    """The switches of MOSAIC; the defaults are MLPerf's ADE20K-31 network (R4) with half-pixel resizes."""

    classes: int = 32
    """Outputs of the network, which are also the decoder's projected filters."""
    backbone: BackboneName = "mnmh"
    """What makes the features: MNMH, or another row of the paper's table 6."""
    backbone_channels: int = 448
    """``m``: channels of MNMH's last convolution; 448, 480 or 512 in the paper."""
    encoder_filters: int = 64
    """``f``: channels of each kernel branch of the context encoder."""
    decoder_filters: int = 64
    """``d``: inner channels of the decoder's concat merges."""
    bins: tuple[int, ...] = (4, 8, 16)
    """Grid sizes of the pooling pyramid; 1 adds the global branch, which has no group convolutions."""
    group_convolution: bool = True
    """Whether each kernel branch sees half of the channels (True) or all of them."""
    shared_kernels: bool = False
    """Whether all bins share one set of multi-kernel convolutions (TensorFlow models) or not (R4)."""
    skips: tuple[Skip, ...] = (Skip(8, "concat"), Skip(4, "sum"))
    """The merges, from coarse to fine; an empty tuple leaves a bare classifier at stride 16."""
    block13_dilation: Literal[1, 2] = 1
    """Dilation of MNMH's block that lost its stride: 1 in R4, 2 in TensorFlow models."""
    sampling: Sampling = "half_pixel"
    """Where the samples of every bilinear resize lie, in ONNX's words."""
    padding: Padding = "same"
    """``same`` pads strided convolutions as TensorFlow does (nothing to pad in TFLite)."""
    head: Head = "logits"
    """``logits`` at image size, ``lowres`` logits as decoded, or the ``classmap`` itself."""
    dropout: float = 0.0
    """Share of channels in [0, 1) that are dropped after the encoder's projection in training."""

    def __post_init__(self) -> None:
        """Refuse what makes no network, as a ``ValueError``."""
        if min(self.classes, self.backbone_channels) < 1:
            raise ValueError("classes and backbone_channels must be at least 1")
        if min(self.encoder_filters, self.decoder_filters) < 1:
            raise ValueError("encoder_filters and decoder_filters must be at least 1")
        if self.group_convolution and self.backbone_channels % 2:
            raise ValueError(f"backbone_channels is {self.backbone_channels}: group convolution halves it")
        if len(set(self.bins)) != len(self.bins) or any(b < 1 for b in self.bins):
            raise ValueError(f"bins {list(self.bins)} must be different numbers of at least 1")
        strides = [skip.stride for skip in self.skips]
        if strides != sorted(set(strides), reverse=True):
            raise ValueError(f"skips of stride {strides} must go from coarse to fine, each once")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, and must be in [0, 1)")
        if self.backbone != "mnmh" and (self.backbone_channels, self.block13_dilation) != (448, 1):
            raise ValueError(f"{self.backbone} has no backbone_channels or block13_dilation: they are mnmh's")
        if self.backbone != "mnmh" and 2 in strides:
            raise ValueError(f"{self.backbone} has no skip of stride 2")


_OUTPUT_STRIDE = 16


@final
class MultiKernel(nn.Module):
    """Multi-kernel group convolution: a 3x3 and a 5x5 separable branch, concatenated to 2f channels.

    With group convolution the first half of the channels goes to the 3x3 branch, the second to the 5x5.
    """

    def __init__(self, channels: int, filters: int, *, grouped: bool) -> None:
        super().__init__()
        self.grouped = grouped
        seen = channels // 2 if grouped else channels
        self.branches = nn.ModuleList(
            nn.Sequential(ConvBN(Conv(seen, seen, k, groups=seen)), ConvBN(Conv(seen, filters, 1)))
            for k in (3, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, b, b) to (N, 2f, b, b)."""
        parts = x.chunk(2, dim=1) if self.grouped else (x, x)
        return torch.cat([b(p) for b, p in zip(self.branches, parts, strict=True)], dim=1)


def pool_to_grid(x: Tensor, bins: int) -> Tensor:
    """Average-pool (N, C, H, W) to (N, C, bins, bins) with fixed kernels.

    Per side of length n, at least ``bins``, the stride is n // bins and the kernel stride + n % bins,
    without padding.
    """
    height, width = int(x.shape[2]), int(x.shape[3])
    stride = (height // bins, width // bins)
    kernel = (stride[0] + height % bins, stride[1] + width % bins)
    if kernel == (1, 1):
        return x
    return nn.functional.avg_pool2d(x, kernel, stride)


@final
class ContextEncoder(nn.Module):
    """Pooling pyramid around the backbone's output: (N, m, h, w) to (N, 2f, h, w)."""

    def __init__(self, m: int, config: MosaicConfig) -> None:
        super().__init__()
        f = config.encoder_filters
        self.bins = tuple(b for b in config.bins if b > 1)
        self.resize = Resize(config.sampling)
        instances = min(1, len(self.bins)) if config.shared_kernels else len(self.bins)
        self.kernels = nn.ModuleList(
            MultiKernel(m, f, grouped=config.group_convolution) for _ in range(instances)
        )
        self.global_branch = ConvBN(Conv(m, f, 1)) if 1 in config.bins else None
        merged = m + 2 * f * len(self.bins) + (f if self.global_branch else 0)
        self.project = ConvBN(Conv(merged, 2 * f, 1))
        self.dropout = nn.Dropout2d(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the bins in their order, then the backbone, then the global branch; project.

        Raises ``ModelError`` where there are fewer features than bins on a side.
        """
        size = (int(x.shape[2]), int(x.shape[3]))
        if min(size) < (finest := max(self.bins, default=1)):
            raise ModelError(
                f"a {size[0]}x{size[1]} feature map cannot be pooled to {finest}x{finest} bins: feed images "
                f"of at least {_OUTPUT_STRIDE * (finest - 1) + 1} pixels a side, or ask for fewer bins"
            )
        branches = []
        for index, bins in enumerate(self.bins):
            kernels = self.kernels[index % len(self.kernels)]
            branches.append(self.resize(kernels(pool_to_grid(x, bins)), size))
        branches.append(x)
        if self.global_branch is not None:
            branches.append(self.resize(self.global_branch(pool_to_grid(x, 1)), size))
        y: Tensor = self.dropout(self.project(torch.cat(branches, dim=1)))
        return y


@final
class ConcatMerge(nn.Module):
    """Join by concatenation, then separable convolutions to ``projected`` channels."""

    def __init__(self, low: int, high: int, projected: int, config: MosaicConfig) -> None:
        super().__init__()
        d = config.decoder_filters
        self.resize = Resize(config.sampling)
        self.reduce = ConvBN(Conv(low + high, d, 1))
        self.depthwise = ConvBN(Conv(d, d, 3, groups=d))
        self.project = ConvBN(Conv(d, projected, 1))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map (N, low, h, w) and (N, high, H, W) to (N, projected, H, W)."""
        size = (int(high.shape[2]), int(high.shape[3]))
        x = torch.cat([self.resize(low, size), high], dim=1)
        y: Tensor = self.project(self.depthwise(self.reduce(x)))
        return y


@final
class SumMerge(nn.Module):
    """Join by addition of two projections; a projection is left out where the channels fit already."""

    def __init__(self, low: int, high: int, projected: int, config: MosaicConfig) -> None:
        super().__init__()
        self.resize = Resize(config.sampling)
        self.low = ConvBN(Conv(low, projected, 1)) if low != projected else nn.Identity()
        self.high = ConvBN(Conv(high, projected, 1)) if high != projected else nn.Identity()

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map (N, low, h, w) and (N, high, H, W) to (N, projected, H, W)."""
        size = (int(high.shape[2]), int(high.shape[3]))
        y: Tensor = self.resize(self.low(low), size) + self.high(high)
        return y


@final
class Decoder(nn.Module):
    """The hybrid decoder: one merge per skip, and a classifier unless the last merge is a sum.

    The sum of the two rectified maps *is* the score, so scores are never negative there.
    """

    def __init__(self, skip_channels: Mapping[int, int], config: MosaicConfig) -> None:
        super().__init__()
        channels = 2 * config.encoder_filters
        kinds = {"concat": ConcatMerge, "sum": SumMerge}
        self.strides = tuple(skip.stride for skip in config.skips)
        merges = []
        for skip in config.skips:
            high = skip_channels[skip.stride]
            merges.append(kinds[skip.merge](channels, high, config.classes, config))
            channels = config.classes
        self.merges = nn.ModuleList(merges)
        summed = bool(config.skips) and config.skips[-1].merge == "sum"
        self.classifier = None if summed else nn.Conv2d(channels, config.classes, 1)

    def forward(self, x: Tensor, skips: dict[int, Tensor]) -> Tensor:
        """Map the encoder's output to (N, classes, H/s, W/s), s being the last skip's stride."""
        for stride, merge in zip(self.strides, self.merges, strict=True):
            x = merge(x, skips[stride])
        return x if self.classifier is None else self.classifier(x)


@final
class Mosaic(Network):
    """The whole network; its scores have stride 4 unless the skips say otherwise."""

    def __init__(self, config: MosaicConfig) -> None:
        super().__init__(head=config.head, sampling=config.sampling)
        self.config = config
        self.backbone = _backbone(config)
        self.encoder = ContextEncoder(self.backbone.channels, config)
        self.decoder = Decoder(self.backbone.skip_channels, config)

    def scores(self, image: Tensor) -> Tensor:
        """Return the decoded scores (N, classes, H/4, W/4), whatever the head is."""
        features, skips = self.backbone(image)
        scores: Tensor = self.decoder(self.encoder(features), skips)
        return scores


def _backbone(config: MosaicConfig) -> Trunk:
    if config.backbone != "mnmh":
        return other(config.backbone, padding=config.padding)
    return mnmh(config.backbone_channels, block13_dilation=config.block13_dilation, padding=config.padding)


def build(**switches: object) -> Mosaic:
    """Make MOSAIC from the names and plain values that a model card may hold.

    ``skips`` is a list of ``"8-C"``, ``"4-S"`` and the like, as in the paper's table 5. Raises
    ``SpecError`` for a switch that is none, or a value that makes no network.
    """
    if isinstance(skips := switches.get("skips"), list | tuple):
        switches["skips"] = [_parse_skip(skip) for skip in skips]
    return Mosaic(configure(MosaicConfig, switches))


def _parse_skip(text: object) -> dict[str, object]:
    merges: dict[str, Merge] = {"C": "concat", "S": "sum"}
    stride, _, merge = str(text).partition("-")
    if stride not in {"2", "4", "8"} or merge not in merges:
        raise SpecError(f"switch skips: {text!r} is not one of 8-C, 8-S, 4-C, 4-S, 2-C, 2-S")
    return {"stride": int(stride), "merge": merges[merge]}
