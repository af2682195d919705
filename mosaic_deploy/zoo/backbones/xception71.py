"""Xception-71 at output stride 16: timm's.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation"
(arXiv 1802.02611), section 3.2. The skips are the outputs of the second separable convolution in the entry
flow's third and fifth block, as in TensorFlow models' DeepLab, but after the ReLU that follows: there timm
takes them.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from mosaic_deploy.zoo.backbones.trunk import Trunk

_TAKEN = (1, 2, 4)  # of timm's five tensors, of strides 2, 4, 8, 16 and 16


@final
class Xception71(Trunk):
    """Maps (N, 3, H, W) to 2048 channels at stride 16; skips of 256 channels at 4 and 728 at 8.

    Raises ``ToolError`` where timm is missing.
    """

    def __init__(self) -> None:
        from mosaic_deploy.zoo.backbones.timm_models import timm_model

        super().__init__(channels=2048, skip_channels={4: 256, 8: 728})
        self.net = timm_model("xception71", features_only=True, output_stride=16, out_indices=_TAKEN)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the stride-16 features and ``{4: ..., 8: ...}``."""
        quarter, eighth, features = self.net(image)
        return features, {4: quarter, 8: eighth}
