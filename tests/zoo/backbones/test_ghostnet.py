"""GhostNet against its published size, less its classifier."""

from __future__ import annotations

import torch

from mosaic_deploy.zoo.backbones.ghostnet import Ghost, GhostNet
from tests.zoo.counting import parameters


def meta() -> GhostNet:
    with torch.device("meta"):
        return GhostNet()


def test_parameters() -> None:
    assert parameters(meta()) == 2_515_136


def test_features() -> None:
    net = meta()
    features = net.eval()(torch.empty(1, 3, 96, 160, device="meta"))
    assert [tuple(x.shape[1:]) for x in features] == [(24, 24, 40), (40, 12, 20), (112, 6, 10), (160, 3, 5)]
    assert net.channels == (24, 40, 112, 160)


def test_the_second_half_filters_the_first() -> None:
    ghost = Ghost(4, 6, "none").eval()
    x = torch.randn(1, 4, 5, 5)
    primary, cheap = ghost(x).chunk(2, dim=1)
    torch.testing.assert_close(primary, ghost.primary(x))
    torch.testing.assert_close(cheap, ghost.cheap(primary))
