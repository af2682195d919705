"""MobileNetV2 at the strides and in the styles that segmenters take it in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mosaic_deploy.zoo.backbones.mobilenet_v2 import PYTORCH, MobileNetV2, OutputStride, rows
from tests.zoo.counting import module_macs, parameters


def meta(stride: OutputStride, *, expand_first: bool = False) -> MobileNetV2:
    with torch.device("meta"):
        return MobileNetV2(output_stride=stride, expand_first=expand_first).eval()


@pytest.mark.parametrize(
    ("stride", "channels"),
    [
        pytest.param(8, {2: 16, 4: 24, 8: 320}, id="8"),
        pytest.param(16, {2: 16, 4: 24, 8: 32, 16: 320}, id="16"),
        pytest.param(32, {2: 16, 4: 24, 8: 32, 16: 96, 32: 320}, id="32"),
    ],
)
def test_features_of_every_stride(stride: OutputStride, channels: dict[int, int]) -> None:
    outputs, expansions = meta(stride)(torch.empty(1, 3, 256, 512, device="meta"))
    expected = {s: (1, c, 256 // s, 512 // s) for s, c in channels.items()}
    assert {s: tuple(x.shape) for s, x in outputs.items()} == expected
    assert expansions[4].shape == (1, 144, 64, 128)


def test_a_block_that_lost_its_stride_is_not_dilated_and_those_after_it_are() -> None:
    assert [row.dilation for row in rows(32)] == [1] * 17
    assert [row.dilation for row in rows(16)] == [1] * 14 + [2] * 3
    assert [row.dilation for row in rows(8)] == [1] * 7 + [2] * 7 + [4] * 3


def test_macs_of_every_block_at_512() -> None:
    """In millions, as the fact sheet has them for output stride 16."""
    found = module_macs(meta(16), height=512, width=512)
    assert [round(found[f"blocks.{i}"] / 1e6, 3) for i in range(17)] == [
        52.429, 152.568, 134.480, 80.806, 57.410, 57.410, 39.518, 53.871, 53.871,
        53.871, 66.454, 118.555, 118.555, 156.303, 323.420, 323.420, 480.707,
    ]  # fmt: skip
    assert found[""] == 2_380_267_520


def test_a_kept_first_expansion_has_its_parameters() -> None:
    assert parameters(meta(32, expand_first=True)) - parameters(meta(32)) == 32 * 32 + 2 * 32


def test_residuals_are_those_of_the_sheet() -> None:
    blocks = meta(16).blocks
    assert [i for i, block in enumerate(blocks, start=1) if block.residual] == [
        3, 5, 6, 8, 9, 10, 12, 13, 15, 16,
    ]  # fmt: skip


def test_pytorchs_style_reaches_every_layer() -> None:
    with torch.device("meta"):
        net = MobileNetV2(style=PYTORCH)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert {conv.padding for conv in convs} == {(1, 1)}
