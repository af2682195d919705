"""Channel shuffle, by hand."""

from __future__ import annotations

import torch

from mosaic_deploy.zoo.layers.shuffle import shuffle_channels


def test_channels_of_the_groups_take_turns() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1).expand(2, 6, 3, 4)
    shuffled = shuffle_channels(x, 2)
    assert shuffled.shape == x.shape
    assert shuffled[1, :, 2, 3].tolist() == [0, 3, 1, 4, 2, 5]


def test_shuffling_in_the_other_groups_undoes_it() -> None:
    x = torch.randn(1, 12, 2, 3)
    assert torch.equal(shuffle_channels(shuffle_channels(x, 3), 4), x)
