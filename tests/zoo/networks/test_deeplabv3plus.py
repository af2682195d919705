"""DeepLabV3+ against the graph of MLPerf Mobile v1.0, whose operators were counted one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mosaic_deploy.errors import SpecError
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.networks.deeplabv3plus import DeepLabV3Plus, build
from tests.zoo.counting import module_macs, parameters


def meta(**switches: object) -> DeepLabV3Plus:
    with torch.device("meta"):
        return build(**switches)


def test_parameters_are_mlperfs() -> None:
    convs = [m for m in meta().modules() if isinstance(m, nn.Conv2d)]
    assert sum(conv.weight.numel() + conv.out_channels for conv in convs) == 2_256_272
    assert parameters(meta()) == 2_238_576 + 2 * 17_664 + 32


@pytest.mark.slow
def test_macs_are_mlperfs_and_where_they_go() -> None:
    found = module_macs(meta(), height=512, width=512)
    assert found[""] == 5_277_302_784
    parts = {
        "backbone": 2380.268,
        "pyramid.point": 83.886,
        "pyramid.mean": 0.082,
        "pyramid.project": 134.218,
        "decoder.skip": 113.246,
        "decoder.refine.0": 44.827 + 1275.068,
        "decoder.refine.1": 37.749 + 1073.742,
        "classifier": 134.218,
    }
    for name, expected in parts.items():
        assert found[name] / 1e6 == pytest.approx(expected, abs=1e-3), name


def test_macs_without_the_decoder() -> None:
    assert module_macs(meta(decoder=False), height=512, width=512)[""] == 2_606_841_856


def test_31_classes_cost_one_output_less() -> None:
    found = module_macs(meta(classes=31), height=512, width=512)
    assert found[""] == 5_277_302_784 - 256 * 128 * 128


@pytest.mark.parametrize(("decoder", "stride"), [(True, 4), (False, 16)])
def test_scores_have_the_stride(decoder: bool, stride: int) -> None:
    net = meta(decoder=decoder).eval()
    assert net.scores(torch.empty(2, 3, 96, 160, device="meta")).shape == (2, 32, 96 // stride, 160 // stride)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        pytest.param({"classes": 0}, "at least 1", id="no class"),
        pytest.param({"dropout": 1.0}, "dropout is 1.0", id="all dropped"),
        pytest.param({"decodr": True}, r"did you mean 'decoder'", id="a typo"),
    ],
)
def test_bad_switches_are_named(switches: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(**switches)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", [True, False])
def test_every_parameter_learns(decoder: bool) -> None:
    torch.manual_seed(0)
    net = build(decoder=decoder).train()
    net(torch.randn(2, 3, 64, 96)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "height", "width"),
    [
        pytest.param({}, 512, 512, id="MLPerf's, at 512x512"),
        pytest.param(
            {"decoder": False, "sampling": "half_pixel", "padding": "symmetric"}, 64, 96, id="small"
        ),
        pytest.param({"head": "classmap"}, 65, 97, id="odd sides"),
    ],
)
def test_the_export_computes_the_same(
    switches: dict[str, object], height: int, width: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    export(build(**switches), tmp_path / "net.onnx", height=height, width=width)  # compares with PyTorch
