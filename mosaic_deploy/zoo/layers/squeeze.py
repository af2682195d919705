"""Squeeze and excitation: channels weighed by what the whole image holds."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from mosaic_deploy.zoo.layers.activations import Gate, gate


@final
class SqueezeExcite(nn.Module):
    """Global mean, 1x1 convolution, ReLU, 1x1 convolution, a gate, and the product with the input.

    Source: Hu et al., "Squeeze-and-Excitation Networks" (arXiv 1709.01507).
    """

    def __init__(self, channels: int, squeezed: int, kind: Gate) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate(kind)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        mean = nn.functional.adaptive_avg_pool2d(x, 1)
        y: Tensor = x * self.gate(self.expand(self.relu(self.reduce(mean))))
        return y


def make_divisible(value: float, by: int = 8) -> int:
    """Round channels to a multiple of ``by``, half up, never below ``by`` or 90 % of ``value``.

    Source: the rule of TensorFlow's MobileNets.
    """
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded
