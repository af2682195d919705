"""ShuffleNet V2 against its published size, less its classifier."""

from __future__ import annotations

import torch

from mosaic_deploy.zoo.backbones.shufflenet_v2 import ShuffleNetV2, Unit
from tests.zoo.counting import parameters


def meta() -> ShuffleNetV2:
    with torch.device("meta"):
        return ShuffleNetV2()


def test_parameters() -> None:
    assert parameters(meta()) == 776_420


def test_features() -> None:
    net = meta()
    features = net.eval()(torch.empty(1, 3, 96, 160, device="meta"))
    assert [tuple(x.shape[1:]) for x in features] == [(24, 24, 40), (116, 12, 20), (232, 6, 10), (464, 3, 5)]
    assert net.channels == (24, 116, 232, 464)


def test_half_of_the_channels_pass_and_are_spread() -> None:
    x = torch.randn(1, 8, 5, 5)
    assert torch.equal(Unit(8).eval()(x)[:, ::2], x[:, :4])
