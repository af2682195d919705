"""ResNet-50 and -101 in DeepLab's "beta" form at output stride 16, made of timm's.

Source: ``resnet_v1_beta`` of TensorFlow models' DeepLab. It differs from the common ResNet in three places:
the stem is three 3x3 convolutions; a stage is strided in its last unit, not its first; and the skips are the
outputs of residual branches, before the addition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, final

from torch import Tensor, nn

from mosaic_deploy.zoo.backbones.trunk import Trunk

Depth = Literal[50, 101]

_STEM = 64
_TAPS = {(1, 2): 4, (2, 3): 8}  # stage and unit, counted from 1 -> stride of the skip


@final
class ResNetBeta(Trunk):
    """Maps (N, 3, H, W) to 2048 channels at stride 16; skips of 256 channels at 4 and 512 at 8.

    Raises ``ToolError`` where timm is missing.
    """

    def __init__(self, depth: Depth) -> None:
        from mosaic_deploy.zoo.backbones.timm_models import timm_model

        super().__init__(channels=2048, skip_channels={4: 256, 8: 512})
        plain = timm_model(
            f"resnet{depth}", num_classes=0, stem_type="deep", stem_width=_STEM, zero_init_last=False
        )
        self.stem = nn.Sequential(plain.conv1, plain.bn1, plain.act1, plain.maxpool)
        stages: list[Any] = [plain.layer1, plain.layer2, plain.layer3, plain.layer4]
        self.stages = nn.ModuleList(stages)
        for units in stages:
            units[0].conv2.stride = units[0].downsample[0].stride = (1, 1)
        for units in stages[:2]:
            units[-1].conv2.stride = (2, 2)
            units[-1].downsample = nn.MaxPool2d(1, 2)
        for unit in stages[3]:
            unit.conv2.dilation = unit.conv2.padding = (2, 2)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the stride-16 features and ``{4: ..., 8: ...}``."""
        x, skips = self.stem(image), {}
        stages: Iterable[Any] = self.stages
        for stage, units in enumerate(stages, start=1):
            for number, unit in enumerate(units, start=1):
                branch = _branch(unit, x)
                if (stage, number) in _TAPS:
                    skips[_TAPS[stage, number]] = branch
                x = unit.act3(branch + (x if unit.downsample is None else unit.downsample(x)))
        return x, skips


def _branch(unit: Any, x: Tensor) -> Tensor:
    """Run the three convolutions of timm's bottleneck, without the shortcut."""
    x = unit.act1(unit.bn1(unit.conv1(x)))
    x = unit.act2(unit.bn2(unit.conv2(x)))
    y: Tensor = unit.bn3(unit.conv3(x))
    return y
