"""Branches that training leaves out."""

from __future__ import annotations

import pytest
import torch

from mosaic_deploy.zoo.layers.drop_path import DropPath


def test_left_out_branches_are_made_up_for() -> None:
    torch.manual_seed(0)
    y = DropPath(0.25).train()(torch.ones(4000, 2, 1, 1))
    assert torch.equal(y[:, 0], y[:, 1])
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(y.mean()) == pytest.approx(1, abs=0.05)


def test_nothing_is_left_out_at_inference_or_at_0() -> None:
    x = torch.randn(8, 3)
    assert torch.equal(DropPath(0.25).eval()(x), x)
    assert torch.equal(DropPath(0.0).train()(x), x)
