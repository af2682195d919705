"""PP-MobileSeg against the figures of its sheet, which were derived from the published tables.

The paper's own parameters (5.62 M, 1.61 M or 1.44 M) belong to no reading of those tables.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mosaic_deploy.errors import SpecError
from mosaic_deploy.zoo.backbones.strideformer import AxialAttention, TransformerBlock
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.layers.drop_path import DropPath
from mosaic_deploy.zoo.networks.pp_mobileseg import PPMobileSeg, build
from tests.zoo.counting import conv_macs, module_macs, parameters


def meta(size: str, **switches: object) -> PPMobileSeg:
    """Build without memory: shapes only."""
    with torch.device("meta"):
        return build(size=size, **switches)


@pytest.mark.parametrize(
    ("size", "switches", "numbers", "macs"),
    [
        pytest.param("base", {}, 5_943_878, 2_097_324_288, id="base"),
        pytest.param(
            "base", {"aggregation": "full"}, 5_994_054, 1_877_909_760, id="base, full", marks=pytest.mark.slow
        ),
        pytest.param(
            "base", {"strided": False}, 5_932_358, 2_713_899_264, id="base, no stride", marks=pytest.mark.slow
        ),
        pytest.param("tiny", {}, 1_492_298, 706_234_496, id="tiny"),
        pytest.param(
            "tiny",
            {"aggregation": "simplified"},
            1_466_698,
            875_317_376,
            id="tiny, simplified",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "tiny", {"strided": False}, 1_487_690, 822_986_880, id="tiny, no stride", marks=pytest.mark.slow
        ),
    ],
)
def test_parameters_and_macs_at_512(size: str, switches: dict[str, object], numbers: int, macs: int) -> None:
    net = meta(size, **switches)
    assert parameters(net) == numbers
    assert conv_macs(net, height=512, width=512) == macs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "numbers", "macs"), [("base", 5_910_211, 3_912_462_592), ("tiny", 1_458_631, 1_342_490_752)]
)
def test_parameters_and_macs_for_cityscapes(size: str, numbers: int, macs: int) -> None:
    net = meta(size, classes=19)
    assert parameters(net) == numbers
    assert conv_macs(net, height=512, width=1024) == macs


@pytest.mark.parametrize(
    ("size", "stages", "transformers", "aggregation"),
    [("base", 1_624_672, 4_129_920, 149_504), ("tiny", 437_220, 897_536, 117_760)],
)
def test_where_parameters_are(size: str, stages: int, transformers: int, aggregation: int) -> None:
    net = meta(size)
    blocks = sum(parameters(m) for m in net.backbone.modules() if isinstance(m, TransformerBlock))
    assert blocks == transformers
    assert parameters(net.backbone.stem) == 464
    assert parameters(net.backbone) == stages + 464 + transformers
    assert parameters(net.aggregation) == aggregation
    assert parameters(net.mix) + parameters(net.classifier) == 39_318


@pytest.mark.slow
@pytest.mark.parametrize(("size", "products"), [("base", 811_008), ("tiny", 270_336)])
def test_products_of_attention(size: str, products: int) -> None:
    net = meta(size)
    all_macs = module_macs(net, height=512, width=512)[""]
    assert all_macs - conv_macs(net, height=512, width=512) == products


@pytest.mark.parametrize(
    ("size", "maps", "scores"),
    [
        ("base", [(64, 64, 64), (128, 32, 32), (192, 16, 16)], (150, 64, 64)),
        ("tiny", [(32, 64, 64), (64, 32, 32), (128, 16, 16)], (150, 32, 32)),
    ],
)
def test_shapes_at_512(size: str, maps: list[tuple[int, ...]], scores: tuple[int, ...]) -> None:
    net, image = meta(size).eval(), torch.empty(1, 3, 512, 512, device="meta")
    assert [tuple(m.shape[1:]) for m in net.backbone(image)] == maps
    assert net.scores(image).shape == (1, *scores)
    assert net(image).shape == (1, 150, 512, 512)


def lively(size: str, **switches: object) -> PPMobileSeg:
    """Build a network none of whose branches is silent, as some are before training."""
    torch.manual_seed(0)
    net = build(size=size, classes=3, **switches).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.4)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    return net


@torch.no_grad()
@pytest.mark.parametrize(("height", "width", "stride"), [(64, 96, 16), (70, 45, 16)])
def test_any_size_works(height: int, width: int, stride: int) -> None:
    net, image = lively("tiny"), torch.randn(2, 3, height, width)
    assert net.scores(image).shape == (2, 3, -(-height // stride), -(-width // stride))
    assert net(image).shape == (2, 3, height, width)


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["simplified", "full"])
@pytest.mark.parametrize("size", ["base", "tiny"])
def test_every_parameter_learns(size: str, aggregation: str) -> None:
    net = lively(size, aggregation=aggregation).train()
    for module in net.modules():
        if isinstance(module, DropPath):
            module.share = 0.0  # a branch that is left out learns nothing
    net(torch.randn(2, 3, 128, 160)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "side", "switches"),
    [
        pytest.param("base", 96, {}, id="base"),
        pytest.param("tiny", 96, {"strided": False}, id="tiny, no stride"),
        pytest.param("tiny", 512, {}, id="tiny at 512"),
    ],
)
def test_the_export_equals_the_network(
    size: str, side: int, switches: dict[str, object], tmp_path: Path
) -> None:
    export(lively(size, **switches), tmp_path / "net.onnx", height=side, width=side)  # compares


def test_a_branch_of_attention_is_silent_before_training() -> None:
    net = build(size="tiny")
    attention = [m for m in net.modules() if isinstance(m, AxialAttention)]
    assert len(attention) == 8
    for axial in attention:
        keys = axial.query_positions.shape[1]
        assert not axial.project(torch.randn(2, 2 * keys, 4, 1)).any()


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        pytest.param({"size": "small"}, "size: .*'base' or 'tiny'", id="size"),
        pytest.param({"aggregation": "none"}, "aggregation: ", id="aggregation"),
        pytest.param({"classes": 0}, "at least 1", id="no classes"),
        pytest.param({"dropout": 1.0}, "dropout is 1.0", id="dropout"),
    ],
)
def test_bad_switches_are_named(switches: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(**switches)
