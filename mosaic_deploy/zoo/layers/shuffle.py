"""Channel shuffle: what separate groups of channels computed, interleaved."""

from __future__ import annotations

from torch import Tensor


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Deal (N, groups * k, H, W) so that channel j of group i becomes channel j * groups + i.

    Source: Zhang et al., "ShuffleNet" (arXiv 1707.01083), figure 1. Exported as Reshape, Transpose, Reshape.
    """
    n, channels, height, width = x.shape
    dealt = x.reshape(n, groups, channels // groups, height, width).transpose(1, 2)
    return dealt.reshape(n, channels, height, width)
