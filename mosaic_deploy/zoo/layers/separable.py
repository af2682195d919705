"""Depthwise and 1x1 convolutions with the paddings and batch norms of PyTorch's and PaddlePaddle's networks.

Pads lie on all sides alike; batch norms have eps 1e-5 and momentum 0.1 (PyTorch's sense).
"""

from __future__ import annotations

from mosaic_deploy.zoo.layers.activations import Activation
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN


def conv_bn(
    channels: int,
    out: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    activation: Activation = "none",
) -> ConvBN:
    """Make any convolution of these networks: (N, C, H, W) to (N, out, H/stride, W/stride), rounded up."""
    conv = Conv(channels, out, kernel, stride=stride, groups=groups, padding="symmetric", bias=bias)
    return ConvBN(conv, activation=activation, eps=1e-5, momentum=0.1)


def stem(out: int) -> ConvBN:
    """A 3x3 convolution of the image, its ReLU included: (N, 3, H, W) to (N, out, H/2, W/2)."""
    return conv_bn(3, out, 3, stride=2, activation="relu")


def depthwise(channels: int, kernel: int = 3, *, stride: int = 1, activation: Activation = "none") -> ConvBN:
    """Filter each channel alone: (N, C, H, W) to (N, C, H/stride, W/stride), rounded up."""
    return conv_bn(channels, channels, kernel, stride=stride, groups=channels, activation=activation)


def pointwise(channels: int, out: int, activation: Activation = "relu", *, bias: bool = False) -> ConvBN:
    """Mix the channels of each pixel: (N, C, H, W) to (N, out, H, W)."""
    return conv_bn(channels, out, bias=bias, activation=activation)
