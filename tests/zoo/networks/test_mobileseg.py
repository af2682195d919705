"""MobileSeg against the counts of the project's fact sheet, which are of its released code's layers.

Nobody published sizes of the whole networks; those of their backbones are the papers'.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from mosaic_deploy.errors import SpecError
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.networks.mobileseg import BACKBONES, MobileSeg, build, pool_to_grid
from tests.zoo.counting import conv_macs, module_macs, parameters


def meta(**switches: object) -> MobileSeg:
    """Build without memory: shapes only."""
    with torch.device("meta"):
        return build(**switches)


@pytest.mark.parametrize(
    ("backbone", "deployed", "trained"),
    [
        ("ghostnet", 2_670_568, 2_680_232),
        ("lite_hrnet18", 1_233_656, 1_243_320),
        ("mobilenet_v2", 2_049_088, 2_058_752),
        ("mobilenet_v3_large", 2_970_318, 2_979_982),
        ("shufflenet_v2", 1_113_224, 1_122_888),
    ],
)
def test_parameters(backbone: str, deployed: int, trained: int) -> None:
    net = meta(backbone=backbone)
    assert parameters(net) == trained
    assert parameters(net) - parameters(net.heads[1:]) == deployed


@pytest.mark.parametrize(
    ("backbone", "features", "total"),
    [
        ("ghostnet", 1_355_856_960, 1_497_173_056),
        pytest.param("lite_hrnet18", 2_095_381_632, 2_555_888_768, marks=pytest.mark.slow),
        ("mobilenet_v2", 3_053_912_064, 3_197_607_936),
        ("mobilenet_v3_large", 2_177_595_488, 2_318_911_584),
        ("shufflenet_v2", 1_260_171_264, 1_502_746_624),
    ],
)
def test_macs_of_a_training_crop(backbone: str, features: int, total: int) -> None:
    found = module_macs(meta(backbone=backbone), height=512, width=1024)
    assert found["backbone"] == features
    assert found[""] == total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "thumbnail", "whole"),
    [
        ("ghostnet", 188_833_856, 5_982_907_456),
        ("lite_hrnet18", 319_766_656, 10_222_593_152),
        ("mobilenet_v2", 400_453_632, 12_787_851_264),
        ("mobilenet_v3_large", 291_557_472, 9_269_839_968),
        ("shufflenet_v2", 188_934_656, 6_007_244_800),
    ],
)
def test_macs_of_a_thumbnail_and_a_whole_image(backbone: str, thumbnail: int, whole: int) -> None:
    net = meta(backbone=backbone)
    assert conv_macs(net, height=256, width=256) == thumbnail
    assert conv_macs(net, height=1024, width=2048) == whole


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_scores_have_the_stride_of_the_finest_features(backbone: str) -> None:
    net, image = meta(backbone=backbone, classes=5).eval(), torch.empty(1, 3, 256, 384, device="meta")
    strides = (4, 8, 16) if backbone == "lite_hrnet18" else (8, 16, 32)
    assert [tuple(x.shape) for x in net.training_scores(image)] == [
        (1, 5, 256 // stride, 384 // stride) for stride in strides
    ]
    assert net.scores(image).shape == (1, 5, 256 // strides[0], 384 // strides[0])


@pytest.mark.parametrize("bins", [1, 2, 4])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (6, 5), (3, 8), (4, 4), (1, 2)], ids=str)
def test_windows_are_those_of_adaptive_pooling(size: tuple[int, int], bins: int) -> None:
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(pool_to_grid(x, bins), adaptive_avg_pool2d(x, bins))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_weight_learns(backbone: str) -> None:
    torch.manual_seed(0)  # with others all of a gate's few rectified channels may be closed
    net = build(backbone=backbone, classes=3).train()
    outputs = net.training_scores(torch.randn(2, 3, 64, 96))
    loss = torch.stack([scores.square().mean() for scores in outputs]).sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0 or name.endswith("bias"), name


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_the_export_is_the_network(backbone: str, tmp_path: Path) -> None:
    export(build(backbone=backbone, classes=3), tmp_path / "net.onnx", height=128, width=160)


@pytest.mark.slow
def test_the_export_is_the_network_at_full_size(tmp_path: Path) -> None:
    export(build(backbone="shufflenet_v2", classes=19), tmp_path / "net.onnx", height=512, width=512)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        pytest.param({"backbone": "ghosnet"}, "backbone: .*'ghostnet'", id="unknown backbone"),
        pytest.param({"classes": 0}, "at least 1", id="no classes"),
        pytest.param({"fusion_channels": [32, 64]}, "fusion_channels", id="two fusions"),
        pytest.param({"bins": []}, "bins", id="no bins"),
        pytest.param({"bins": [2, 0]}, "bins", id="a bin of none"),
    ],
)
def test_bad_switches_are_named(switches: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(**switches)
