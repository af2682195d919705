"""TopFormer and Efficient-TopFormer against the figures that are counted from their published configurations.

TopFormer's are those of its README, too, where profilers count normalisations and activations as well (0.6,
1.2 and 1.8 G). Nobody published the parameters of Efficient-TopFormer: they are counted.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mosaic_deploy.errors import SpecError
from mosaic_deploy.zoo.backbones.token_pyramid import pool_to_tokens
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.networks.topformer import TopFormer, build
from tests.zoo.counting import conv_macs, module_macs, parameters

EVERY = [
    pytest.param(family, size, id=f"{family}, {size}")
    for family in ("topformer", "efficient_topformer")
    for size in ("tiny", "small", "base")
]


def meta(family: str = "topformer", size: str = "tiny", **switches: object) -> TopFormer:
    """Build without memory: shapes only."""
    with torch.device("meta"):
        return build(family=family, size=size, **switches)


def lively(family: str, size: str) -> TopFormer:
    """Build with lively batch norms, so that attention, which starts as nothing, counts."""
    torch.manual_seed(0)
    net = build(family=family, size=size, classes=5, dropout=0.0, drop_path=0.0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]  # a buffer, not None
    return net


@pytest.mark.parametrize(
    ("family", "size", "expected", "convolutions", "products"),
    [
        pytest.param("topformer", "tiny", 1_389_654, 530_964_480, 3_145_728, id="T"),
        pytest.param("topformer", "small", 3_034_662, 1_107_578_880, 4_718_592, id="S"),
        pytest.param("topformer", "base", 5_062_646, 1_745_911_808, 6_291_456, id="B"),
        pytest.param("efficient_topformer", "tiny", 2_906_058, 581_017_024, 10_797_056, id="Eff-T"),
        pytest.param("efficient_topformer", "small", 4_553_486, 1_148_937_600, 9_420_800, id="Eff-S"),
        pytest.param("efficient_topformer", "base", 8_200_838, 1_761_807_680, 13_443_072, id="Eff-B"),
    ],
)
def test_parameters_and_macs_with_150_classes(
    family: str, size: str, expected: int, convolutions: int, products: int
) -> None:
    net = meta(family, size)
    assert parameters(net) == expected
    assert module_macs(net, height=512, width=512)[""] == convolutions + products


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "size", "at_512", "at_448"),
    [
        pytest.param("topformer", "tiny", 0.5310, 0.4065, id="T"),
        pytest.param("topformer", "small", 1.1076, 0.8480, id="S"),
        pytest.param("topformer", "base", 1.7459, 1.3367, id="B"),
        pytest.param("efficient_topformer", "tiny", 0.5810, 0.4448, id="Eff-T"),
        pytest.param("efficient_topformer", "small", 1.1489, 0.8797, id="Eff-S"),
        pytest.param("efficient_topformer", "base", 1.7618, 1.3489, id="Eff-B"),
    ],
)
def test_macs_of_convolutions_in_units_of_1e9(family: str, size: str, at_512: float, at_448: float) -> None:
    net = meta(family, size)
    found = [conv_macs(net, height=side, width=side) / 1e9 for side in (512, 448)]
    assert [round(count, 4) for count in found] == [at_512, at_448]


@pytest.mark.parametrize(
    ("family", "size", "widths"),
    [
        pytest.param("topformer", "tiny", (16, 32, 64, 96), id="T"),
        pytest.param("topformer", "base", (32, 64, 128, 160), id="B"),
        pytest.param("efficient_topformer", "small", (16, 48, 96, 136), id="Eff-S"),
    ],
)
def test_shapes_at_512(family: str, size: str, widths: tuple[int, ...]) -> None:
    net, image = meta(family, size).eval(), torch.empty(1, 3, 512, 512, device="meta")
    maps, tokens = net.backbone(image)
    assert [tuple(x.shape) for x in maps] == [
        (1, c, side, side) for c, side in zip(widths, (128, 64, 32, 16), strict=True)
    ]
    assert [tuple(x.shape) for x in tokens] == [(1, c, 8, 8) for c in widths]
    assert net.scores(image).shape == (1, 150, 64, 64)
    assert net(image).shape == (1, 150, 512, 512)


def test_tiny_fuses_each_channel_alone() -> None:
    assert meta().fuse.conv.conv.groups == 128
    assert meta(size="small").fuse.conv.conv.groups == 1


def test_drop_paths_grow_to_the_last_block() -> None:
    drops = [block.drop.share for block in meta().backbone.blocks]  # type: ignore[union-attr]
    assert drops == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])


@pytest.mark.parametrize(("height", "width"), [(64, 128), (88, 64), (77, 5), (1, 1)])
def test_tokens_are_the_means_of_pytorchs_adaptive_windows(height: int, width: int) -> None:
    maps, grid = [torch.randn(1, 2, height, width), torch.randn(1, 3, 11, 8)], (6, 4)
    if height < grid[0]:
        maps, grid = [maps[0]], (1, 1)
    expected = torch.cat([nn.functional.adaptive_avg_pool2d(x, grid) for x in maps], dim=1)
    torch.testing.assert_close(pool_to_tokens(maps), expected)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (50, 67), (1, 1)])
def test_images_of_any_size_work(height: int, width: int) -> None:
    net = NET.eval()
    image = torch.randn(1, 3, height, width)
    assert net(image).shape == (1, 5, height, width)
    assert net.scores(image).shape == (1, 5, -(-height // 8), -(-width // 8))


NET = lively("topformer", "tiny")


def test_every_parameter_learns() -> None:
    net = lively("topformer", "tiny").train()
    (scores,) = net.training_scores(torch.randn(2, 3, 64, 96))
    torch.autograd.backward(scores.square().mean())
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.slow
@pytest.mark.parametrize(("family", "size"), EVERY)
def test_every_size_trains(family: str, size: str) -> None:
    net, image = lively(family, size).train(), torch.randn(2, 3, 128, 96)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = net(image)
    torch.autograd.backward(scores.float().square().mean())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "size"), EVERY)
def test_every_size_exports_as_torch_computes_it(tmp_path: Path, family: str, size: str) -> None:
    export(lively(family, size), tmp_path / "net.onnx", height=64, width=128)


@pytest.mark.slow
@pytest.mark.parametrize("side", [pytest.param(512, id="even windows"), pytest.param(160, id="uneven")])
def test_tiny_exports_at_another_side(tmp_path: Path, side: int) -> None:
    export(lively("topformer", "tiny"), tmp_path / "net.onnx", height=side, width=side)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        pytest.param({"size": "large"}, "size: .*'tiny'", id="size"),
        pytest.param({"family": "topformers"}, "family: .*'topformer'", id="family"),
        pytest.param({"classes": 0}, "classes must be at least 1", id="no classes"),
        pytest.param({"drop_path": 1.0}, "drop_path is 1.0", id="drop path"),
        pytest.param({"dropout": -0.1}, "dropout is -0.1", id="dropout"),
    ],
)
def test_bad_switches_are_named(switches: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(**switches)
