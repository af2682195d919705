"""What MOSAIC's and LR-ASPP's heads ask of a backbone: features of stride 16, and skips of finer strides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Trunk(nn.Module, ABC):
    """A backbone at output stride 16, and the inner tensors that DeepLab's model zoo takes from it."""

    def __init__(self, *, channels: int, skip_channels: Mapping[int, int]) -> None:
        super().__init__()
        self.channels = channels
        self.skip_channels = skip_channels
        """Stride of a skip -> its channels."""

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Map (N, 3, H, W) to (N, channels, H/16, W/16) and the skips by their stride."""
