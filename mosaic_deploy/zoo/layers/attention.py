"""Attention between the positions of a small feature map, made of 1x1 convolutions and two products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.layers.separable import conv_bn


@dataclass(frozen=True, slots=True)
class Heads:
    """The sides of multi-head attention."""

    count: int
    key: int
    """Channels of a query and of a key, per head."""
    value: int
    """Channels of a value, per head."""


@final
class TokenAttention(nn.Module):
    """Multi-head attention whose logits are the bare products q . k, not divided by the root of their length.

    Source: TopFormer's code (Zhang et al., arXiv 2204.05525), which computes that factor and leaves it out.
    Networks that were trained so need it so. The last batch norm starts at 0: a fresh block adds nothing.
    """

    def __init__(self, channels: int, heads: Heads) -> None:
        super().__init__()
        self.heads = heads
        self.query = conv_bn(channels, heads.count * heads.key)
        self.key = conv_bn(channels, heads.count * heads.key)
        self.value = conv_bn(channels, heads.count * heads.value)
        self.activation = nn.ReLU6(inplace=True)
        self.project = conv_bn(heads.count * heads.value, channels)
        nn.init.zeros_(self.project.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h, w); every position sees all h * w of them."""
        n, _, height, width = x.shape
        tokens, heads = height * width, self.heads
        query = self.query(x).reshape(n, heads.count, heads.key, tokens).transpose(2, 3)
        key = self.key(x).reshape(n, heads.count, heads.key, tokens)
        value = self.value(x).reshape(n, heads.count, heads.value, tokens).transpose(2, 3)
        seen = torch.matmul(torch.matmul(query, key).softmax(dim=-1), value)
        merged = seen.transpose(2, 3).reshape(n, heads.count * heads.value, height, width)
        y: Tensor = self.project(self.activation(merged))
        return y
