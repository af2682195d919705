"""Lite-HRNet-18 against the fact sheet's counts, and what its parts compute."""

from __future__ import annotations

import pytest
import torch

from mosaic_deploy.errors import ModelError
from mosaic_deploy.zoo.backbones.lite_hrnet import (
    CrossResolutionWeights,
    Fusion,
    IterativeHead,
    LiteHRNet,
    Weighting,
)
from tests.zoo.counting import parameters


def meta() -> LiteHRNet:
    with torch.device("meta"):
        return LiteHRNet()


def branches(*widths: int) -> list[torch.Tensor]:
    """Random tensors, the finest 8x16."""
    return [torch.randn(1, width, 8 >> i, 16 >> i) for i, width in enumerate(widths)]


def test_parameters() -> None:
    net = meta()
    assert parameters(net) == 1_130_072
    assert parameters(net) - parameters(net.head) == 1_054_032


def test_features() -> None:
    net = meta()
    features = net.eval()(torch.empty(1, 3, 96, 160, device="meta"))
    assert [tuple(x.shape[1:]) for x in features] == [(40, 24, 40), (40, 12, 20), (80, 6, 10), (160, 3, 5)]
    assert net.channels == (40, 40, 80, 160)


def test_a_size_that_cannot_be_halved_five_times_is_named() -> None:
    with pytest.raises(ModelError, match="48x64 image five times: both sides must be multiples of 32"):
        meta()(torch.empty(1, 3, 48, 64, device="meta"))


def test_each_stage_adds_a_branch() -> None:
    layers = [layer for layer in meta().modules() if isinstance(layer, CrossResolutionWeights)]
    assert [layer.widths for layer in layers] == [
        *[(20, 40)] * 4,
        *[(20, 40, 80)] * 8,
        *[(20, 40, 80, 160)] * 4,
    ]


def test_one_gate_for_each_pixel_of_the_coarsest_branch() -> None:
    layer = CrossResolutionWeights((4, 4, 8)).eval()
    fine, _, _ = xs = branches(4, 4, 8)
    gates = layer(xs)[0] / fine
    assert ((gates > 0) & (gates < 1)).all()
    torch.testing.assert_close(gates, gates[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_half_of_each_branch_passes_a_weighting() -> None:
    xs = branches(8, 16)
    for x, y in zip(xs, Weighting((8, 16)).eval()(xs), strict=True):
        assert torch.equal(y[:, ::2], x.chunk(2, dim=1)[0])


def test_a_fusion_is_the_plain_sum_of_all_paths() -> None:
    layer, xs = Fusion((4, 6, 8)).eval(), branches(4, 6, 8)
    fused = layer(xs)
    paths = layer.get_submodule("paths.1")
    assert isinstance(paths, torch.nn.ModuleList)
    coarse = paths[2](xs[2]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fused[1], (paths[0](xs[0]) + xs[1] + coarse).relu())
    assert [y.shape for y in fused] == [x.shape for x in xs]
    assert all(y.min() == 0 for y in fused)


def test_the_head_hands_every_projection_to_the_next_finer_branch() -> None:
    head, xs = IterativeHead((4, 6)).eval(), branches(4, 6)
    fine, coarse = head(xs)
    torch.testing.assert_close(coarse, head.projections[1](xs[1]))
    resized = torch.nn.functional.interpolate(coarse, (8, 16), mode="bilinear", align_corners=True)
    torch.testing.assert_close(fine, head.projections[0](xs[0] + resized))
