"""LR-ASPP against counted parameters and multiply-accumulates, and torchvision's published size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mosaic_deploy.errors import ModelError, SpecError
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.networks.lraspp import LrAspp, build
from tests.zoo.counting import conv_macs, module_macs, parameters


def meta(**switches: object) -> LrAspp:
    with torch.device("meta"):
        return build(**switches)


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        pytest.param({}, 1_507_198, id="large, Cityscapes"),
        pytest.param({"classes": 32}, 1_510_448, id="large, ADE20K-31"),
        pytest.param({"output_stride": 32}, 1_507_198, id="large, stride 32"),
        pytest.param({"size": "small"}, 468_830, id="small, Cityscapes"),
        pytest.param({"size": "small", "classes": 32}, 471_664, id="small, ADE20K-31"),
        pytest.param(
            {"form": "torchvision", "reduced": False, "classes": 21},
            3_221_538,
            id="torchvision, as published",
        ),
    ],
)
def test_parameters(switches: dict[str, object], expected: int) -> None:
    assert parameters(meta(**switches)) == expected


@pytest.mark.parametrize(
    ("switches", "height", "width", "expected"),
    [
        ({}, 1024, 2048, 9.368),
        ({"classes": 32}, 512, 512, 1.185),
        ({"classes": 31}, 512, 512, 1.184),
        ({"output_stride": 32}, 1024, 2048, 7.446),
        ({"output_stride": 32, "classes": 32}, 512, 512, 0.945),
        ({"size": "small"}, 1024, 2048, 2.729),
        ({"size": "small", "classes": 32}, 512, 512, 0.353),
        ({"size": "small", "classes": 31}, 512, 512, 0.352),
        ({"size": "small", "output_stride": 32}, 1024, 2048, 1.925),
        ({"size": "small", "output_stride": 32, "classes": 32}, 512, 512, 0.252),
        ({"form": "torchvision", "reduced": False}, 1024, 2048, 15.775),  # the sheet says 15.77
    ],
)
def test_macs(switches: dict[str, object], height: int, width: int, expected: float) -> None:
    net = meta(**switches)
    assert round(conv_macs(net, height=height, width=width) / 1e9, 3) == expected
    assert module_macs(net, height=height, width=width)[""] == conv_macs(net, height=height, width=width)


def test_mosaics_backbone_makes_the_papers_mdl() -> None:
    """Its MACs come from the sheet; of its parameters, those of the backbone, 1,636,640, do."""
    net = meta(backbone="mnmh")
    assert round(conv_macs(net, height=1024, width=2048) / 1e9, 2) == 20.28
    head = 480 * 128 + 2 * 128 + 480 * 128 + 128 + 128 * 19 + 19 + 192 * 19 + 19
    assert parameters(net) == 1_636_640 + head
    assert net.scores(torch.empty(1, 3, 512, 512, device="meta")).shape == (1, 19, 64, 64)
    with pytest.raises(SpecError, match="are mobilenet_v3's"):
        build(backbone="mnmh", size="small")


@pytest.mark.parametrize(("size", "channels"), [("large", 120), ("small", 88)])
def test_skip_is_the_last_expanded_tensor_of_stride_8(size: str, channels: int) -> None:
    net = meta(size=size)
    features = net.backbone(torch.empty(1, 3, 512, 512, device="meta"))
    assert features.expanded[net.tap].shape == (1, channels, 64, 64)
    assert features.last.shape == (1, net.backbone.channels, 32, 32)
    assert net.scores(torch.empty(1, 3, 512, 512, device="meta")).shape == (1, 19, 64, 64)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    net = build(classes=5, size="small").train()
    net.scores(torch.rand(2, 3, 64, 96)).square().mean().backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_window_weighs_places_apart() -> None:
    torch.manual_seed(0)
    net = build(size="small", window=3, window_stride=[2, 2]).eval()
    with torch.no_grad():
        gate = net._gate(torch.rand(1, net.backbone.channels, 6, 8))
    assert gate.shape == (1, 128, 6, 8)
    assert float(gate.std()) > 0
    with pytest.raises(ModelError, match="feed images of at least 48 pixels a side"):
        net(torch.rand(1, 3, 32, 32))


def test_torchvisions_form_is_one_network() -> None:
    with pytest.raises(SpecError, match="torchvision's has the full width"):
        build(form="torchvision")


@pytest.mark.slow
@pytest.mark.parametrize(
    "switches", [{}, {"size": "small", "window": 2, "gate": "sigmoid"}, {"backbone": "mnmh"}]
)
def test_export_equals_torch(switches: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(build(**switches), tmp_path / "net.onnx", height=512, width=512)
    assert (tmp_path / "net.onnx").stat().st_size > 4 * parameters(meta(**switches)) * 0.9
