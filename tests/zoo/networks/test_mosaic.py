"""MOSAIC against every number that its paper, its code and MLPerf's graph let one derive.

Figures are those of section 8 and 10 of the project's fact sheet: counted multiply-accumulates of
convolutions, batch norms folded, as tables 3 to 6 and 8 of the paper have them (less the element-wise
terms that a profiler adds).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mosaic_deploy.errors import ModelError, SpecError
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.graph.macs import macs
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.zoo.backbones.mnmh import InvertedBottleneck
from mosaic_deploy.zoo.export import export
from mosaic_deploy.zoo.networks.mosaic import Mosaic, build
from tests.zoo.counting import module_macs, parameters

SMALL: dict[str, object] = {
    "classes": 3,
    "backbone_channels": 8,
    "encoder_filters": 4,
    "decoder_filters": 4,
    "bins": [2],
}
"""Switches of a net that is quick to run; its backbone has all its blocks."""

CITYSCAPES: dict[str, object] = {"classes": 19, "backbone_channels": 480, "encoder_filters": 32}
BEST: dict[str, object] = {"classes": 19, "bins": [1, 4, 8, 16]}


def meta(**switches: object) -> Mosaic:
    """Build without memory: shapes only."""
    with torch.device("meta"):
        return build(**switches)


def giga(height: int, width: int, **switches: object) -> float:
    """Count multiply-accumulates of one image in units of 1e9, to three digits as the sheet has them."""
    return round(module_macs(meta(**switches), height=height, width=width)[""] / 1e9, 3)


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        pytest.param({}, 1_878_112, id="32 classes"),
        pytest.param({"shared_kernels": True}, 1_803_232, id="shared kernels"),
        pytest.param({"classes": 31}, 1_877_980, id="31 classes"),
        pytest.param(CITYSCAPES, 1_773_324, id="Cityscapes"),
        pytest.param({**CITYSCAPES, "shared_kernels": True}, 1_724_108, id="Cityscapes, shared kernels"),
        pytest.param(BEST, 1_913_388, id="best"),
        pytest.param({**BEST, "shared_kernels": True}, 1_838_508, id="best, shared kernels"),
    ],
)
def test_parameters(switches: dict[str, object], expected: int) -> None:
    assert parameters(meta(**switches)) == expected


@pytest.mark.parametrize(("m", "expected"), [(448, 1_633_504), (480, 1_636_640), (512, 1_639_776)])
def test_backbone_parameters(m: int, expected: int) -> None:
    assert parameters(meta(backbone_channels=m).backbone) == expected


def test_folded_parameters_are_those_of_mlperfs_graph() -> None:
    convs = [m for m in meta().modules() if isinstance(m, nn.Conv2d)]
    assert sum(conv.weight.numel() + conv.out_channels for conv in convs) == 1_862_176


def test_macs_of_mlperfs_graph_and_where_they_go() -> None:
    found = module_macs(meta(), height=512, width=512)
    assert found[""] == 2_693_204_992
    assert found["backbone"] == 2_443_771_904
    assert [found[f"encoder.kernels.{i}"] for i in range(3)] == [580_608, 2_322_432, 9_289_728]
    assert found["encoder.project"] == 109_051_904
    assert found["decoder.merges.0"] == 94_633_984
    assert found["decoder.merges.1"] == 33_554_432


@pytest.mark.slow
def test_the_exported_graph_costs_the_same(tmp_path: Path) -> None:
    export(build(), tmp_path / "mosaic.onnx", height=512, width=512)
    counts = {node.name: macs(node) for node in nodes(read_model(tmp_path / "mosaic.onnx"))}
    assert sum(counts.values()) == 2_693_204_992
    assert sum(n for name, n in counts.items() if name.startswith("backbone.")) == 2_443_771_904


def test_macs_of_each_bottleneck() -> None:
    found = module_macs(meta().backbone, height=512, width=512)
    assert [round(found[f"blocks.{index}"] / 1e6, 3) for index in range(16)] == [
        265.814, 76.546, 142.213, 107.741, 71.827, 107.741, 160.825, 104.202,
        104.202, 104.202, 233.570, 215.613, 354.877, 123.077, 85.328, 85.328,
    ]  # fmt: skip


def test_macs_are_the_same_for_shared_kernels_either_padding_and_dilation() -> None:
    for switch in ({"shared_kernels": True}, {"padding": "symmetric"}, {"block13_dilation": 2}):
        assert module_macs(meta(**switch), height=512, width=512)[""] == 2_693_204_992


@pytest.mark.parametrize(
    ("f", "d", "expected"),
    [
        (32, 16, 20.244),
        (32, 32, 20.393),
        (32, 64, 20.691),
        (64, 16, 20.836),
        (64, 32, 21.019),
        (64, 64, 21.384),
        (64, 128, 22.113),
        (16, 64, 20.420),
        (128, 64, 23.374),
    ],
)
def test_macs_of_table_3(f: int, d: int, expected: float) -> None:
    switches = {**CITYSCAPES, "encoder_filters": f, "decoder_filters": d}
    assert giga(1024, 2048, **switches) == expected


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        pytest.param({"bins": [1, 4]}, 20.633, id="1-4"),
        pytest.param({"bins": [4, 8]}, 20.651, id="4-8"),
        pytest.param({"bins": [4, 16]}, 20.655, id="4-16"),
        pytest.param({"bins": [8, 16]}, 20.657, id="8-16"),
        pytest.param({"bins": [4, 8, 16]}, 20.691, id="4-8-16"),
        pytest.param({"group_convolution": False}, 20.698, id="4-8-16 without groups"),
        pytest.param({"bins": [1, 4, 8, 16]}, 20.707, id="1-4-8-16"),
    ],
)
def test_macs_of_table_4(switches: dict[str, object], expected: float) -> None:
    assert giga(1024, 2048, **{**CITYSCAPES, **switches}) == expected


@pytest.mark.parametrize(
    ("skips", "expected"),
    [
        pytest.param([], 19.946, id="none"),
        pytest.param(["4-S"], 20.105, id="4-S"),
        pytest.param(["4-C"], 21.292, id="4-C"),
        pytest.param(["8-C"], 20.543, id="8-C"),
        pytest.param(["8-C", "4-S"], 20.691, id="8-C 4-S"),
        pytest.param(["8-S", "4-S"], 20.224, id="8-S 4-S"),
        pytest.param(["8-C", "4-C"], 21.510, id="8-C 4-C"),
        pytest.param(["8-C", "4-S", "2-S"], 21.009, id="8-C 4-S 2-S"),
    ],
)
def test_macs_of_table_5(skips: list[str], expected: float) -> None:
    assert giga(1024, 2048, **CITYSCAPES, skips=skips) == expected


@pytest.mark.parametrize(("m", "expected"), [(448, 20.648), (480, 20.691), (512, 20.733)])
def test_macs_of_table_6(m: int, expected: float) -> None:
    assert giga(1024, 2048, **{**CITYSCAPES, "backbone_channels": m}) == expected


@pytest.mark.slow  # two of them are made of 101 and 71 layers
@pytest.mark.parametrize(
    ("backbone", "features", "skips", "expected"),
    [
        ("mobilenet_v3_small", 288, {4: 16, 8: 88}, 2.966),
        ("mobilenet_v3_large", 480, {4: 72, 8: 120}, 9.694),
        ("resnet50", 2048, {4: 256, 8: 512}, 302.250),
        ("resnet101", 2048, {4: 256, 8: 512}, 457.406),
        ("xception71", 2048, {4: 256, 8: 728}, 465.462),
    ],
)
def test_macs_and_features_of_table_6s_other_backbones(
    backbone: str, features: int, skips: dict[int, int], expected: float
) -> None:
    switches: dict[str, object] = {"classes": 19, "encoder_filters": 32, "backbone": backbone}
    assert giga(1024, 2048, **switches) == expected
    last, found = meta(**switches).eval().backbone(torch.empty(1, 3, 512, 1024, device="meta"))
    assert last.shape == (1, features, 32, 64)
    assert {s: tuple(t.shape) for s, t in found.items()} == {
        s: (1, channels, 512 // s, 1024 // s) for s, channels in skips.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "mobilenet_v3_large", "resnet50", "xception71"])
def test_other_backbones_learn_and_export(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build(backbone=backbone, classes=3, encoder_filters=4, decoder_filters=4, bins=[2]).train()
    loss = net(torch.randn(2, 3, 64, 96)).square().mean()
    for gradient in torch.autograd.grad(loss, list(net.parameters())):  # raises for one that takes no part
        assert torch.isfinite(gradient).all()
    export(net, tmp_path / "net.onnx", height=64, width=96)  # compares with PyTorch
    kinds = {node.op_type for node in read_model(tmp_path / "net.onnx").graph.node}
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("f", "d", "expected"),
    [
        (16, 16, 2.517),
        (16, 32, 2.535),
        (16, 64, 2.570),
        (32, 16, 2.546),
        (32, 32, 2.566),
        (32, 64, 2.605),
        (32, 128, 2.682),
        (64, 16, 2.622),
        (64, 32, 2.646),
        (64, 64, 2.693),
        (64, 128, 2.788),
    ],
)
def test_macs_of_table_8(f: int, d: int, expected: float) -> None:
    assert giga(512, 512, encoder_filters=f, decoder_filters=d) == expected


def test_macs_of_the_best_published_configuration() -> None:
    assert giga(1024, 2048, **BEST) == 21.391


@pytest.mark.parametrize(
    ("m", "at_512", "at_1024x2048"),
    [(448, 2.4438, 19.550), (480, 2.4469, 19.575), (512, 2.4501, 19.601)],
)
def test_macs_of_the_backbone(m: int, at_512: float, at_1024x2048: float) -> None:
    backbone = meta(backbone_channels=m).backbone
    assert round(module_macs(backbone, height=512, width=512)[""] / 1e9, 4) == at_512
    assert round(module_macs(backbone, height=1024, width=2048)[""] / 1e9, 3) == at_1024x2048


def test_shapes_at_512() -> None:
    net, image = meta().eval(), torch.empty(1, 3, 512, 512, device="meta")
    features, skips = net.backbone(image)
    assert features.shape == (1, 448, 32, 32)
    assert {stride: tuple(t.shape[1:]) for stride, t in skips.items()} == {
        2: (32, 256, 256),
        4: (64, 128, 128),
        8: (192, 64, 64),
    }
    assert net.encoder.project.conv.conv.in_channels == 832
    assert net.get_submodule("decoder.merges.0.reduce.conv.conv").in_channels == 320
    assert net.scores(image).shape == (1, 32, 128, 128)
    assert net(image).shape == (1, 32, 512, 512)


def test_residuals_dilations_and_strides_are_those_of_table_1() -> None:
    blocks = [b for b in meta().backbone.modules() if isinstance(b, InvertedBottleneck)]
    assert [i + 1 for i, b in enumerate(blocks) if b.residual] == [2, 4, 5, 6, 8, 9, 10, 12, 15, 16]
    convs = [block.depthwise.conv for block in blocks]
    assert [i + 1 for i, c in enumerate(convs) if c.stride == 2] == [1, 3, 7]
    assert [i + 1 for i, c in enumerate(convs) if c.kernel == 5] == [3, 7, 14, 15, 16]
    assert [i + 1 for i, c in enumerate(convs) if c.dilation == 2] == [14, 15, 16]


def test_the_block_that_lost_its_stride_can_be_dilated() -> None:
    conv = meta(block13_dilation=2).get_submodule("backbone.blocks.12.depthwise.conv.conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.dilation == (2, 2)


def test_batch_norms_are_tensorflows() -> None:
    norms = [m for m in meta().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-3, 0.01)}


def small(**switches: object) -> Mosaic:
    """Build a small net with lively batch norms, so that no score is trivially zero."""
    torch.manual_seed(0)
    net = build(**{**SMALL, **switches}).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.6)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    return net


@torch.no_grad()
@pytest.mark.parametrize("sampling", ["half_pixel", "asymmetric"])
def test_heads_agree(sampling: str) -> None:
    net, image = small(sampling=sampling), torch.randn(2, 3, 48, 64)
    logits = net(image)
    net.head = "lowres"
    scores = net(image)
    net.head = "classmap"
    ids = net(image)
    assert scores.shape == (2, 3, 12, 16)
    assert torch.equal(scores, net.scores(image))
    assert torch.equal(logits, net.resize(scores, (48, 64)))
    assert ids.dtype == torch.int32
    assert torch.equal(ids, logits.argmax(dim=1).int())
    assert len(ids.unique()) > 1


@torch.no_grad()
@given(st.integers(17, 70), st.integers(17, 70), st.sampled_from(["same", "symmetric"]))
@settings(max_examples=15, deadline=None)
def test_any_size_that_can_be_pooled_works(height: int, width: int, padding: str) -> None:
    net = NETS[padding]
    net.head = "logits"
    image = torch.randn(1, 3, height, width)
    assert net(image).shape == (1, 3, height, width)
    assert net.scores(image).shape == (1, 3, -(-height // 4), -(-width // 4))


NETS = {padding: small(padding=padding) for padding in ("same", "symmetric")}


@torch.no_grad()
@pytest.mark.parametrize(
    "switches",
    [
        pytest.param({"bins": [1, 2]}, id="global branch"),
        pytest.param({"bins": [1]}, id="global branch only"),
        pytest.param({"bins": []}, id="no pyramid"),
        pytest.param({"shared_kernels": True, "bins": [2, 3]}, id="shared kernels"),
        pytest.param({"group_convolution": False}, id="no groups"),
        pytest.param({"skips": []}, id="no skips"),
        pytest.param({"skips": ["8-C", "4-S", "2-S"]}, id="three skips"),
        pytest.param({"block13_dilation": 2}, id="dilated block 13"),
    ],
)
def test_every_switch_runs(switches: dict[str, object]) -> None:
    assert small(**switches)(torch.randn(1, 3, 50, 67)).shape == (1, 3, 50, 67)


@torch.no_grad()
def test_the_global_branch_sees_the_mean_everywhere() -> None:
    net = small(bins=[1])
    features = torch.randn(1, 8, 3, 5)
    assert net.encoder.global_branch is not None
    mean = net.encoder.global_branch(features.mean((2, 3), keepdim=True)).expand(-1, -1, 3, 5)
    expected = net.encoder.project(torch.cat([features, mean], dim=1))
    torch.testing.assert_close(net.encoder(features), expected)


def test_too_small_an_image_is_named() -> None:
    net = small(bins=[4])
    with pytest.raises(ModelError, match=r"2x8 feature map .* at least 49 pixels a side"):
        net(torch.zeros(1, 3, 32, 128))
    assert net(torch.zeros(1, 3, 49, 49)).shape == (1, 3, 49, 49)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        pytest.param({"clases": 3}, r"'clases' \(did you mean 'classes'\?\)", id="typo"),
        pytest.param({"classes": "19"}, "classes: .*integer", id="number as text"),
        pytest.param({"classes": True}, "classes: .*integer", id="boolean as number"),
        pytest.param({"classes": 0}, "at least 1", id="no classes"),
        pytest.param({"shared_kernels": 1}, "shared_kernels: .*boolean", id="number as boolean"),
        pytest.param({"decoder_filters": -4}, "at least 1", id="negative"),
        pytest.param({"backbone_channels": 449}, "449.*halves", id="odd channels"),
        pytest.param({"bins": [4, 4]}, "different numbers", id="a bin twice"),
        pytest.param({"bins": [0]}, "at least 1", id="no bin"),
        pytest.param({"bins": 4}, "bins: ", id="no list"),
        pytest.param({"skips": ["16-C"]}, "'16-C' is not one of", id="unknown skip"),
        pytest.param({"skips": "8-C"}, "skips: ", id="skips as text"),
        pytest.param({"skips": ["4-S", "8-C"]}, "coarse to fine", id="skips backwards"),
        pytest.param({"block13_dilation": 3}, "block13_dilation: .*1 or 2", id="dilation"),
        pytest.param({"sampling": "align_corners"}, "sampling: .*'half_pixel'", id="sampling"),
        pytest.param({"padding": "valid"}, "padding: ", id="padding"),
        pytest.param({"head": "argmax"}, "head: ", id="head"),
        pytest.param({"dropout": 1.0}, r"dropout is 1.0", id="dropout"),
        pytest.param({"backbone": "mobilenet"}, "backbone: ", id="backbone"),
        pytest.param(
            {"backbone": "resnet50", "backbone_channels": 480}, "they are mnmh's", id="m of another"
        ),
        pytest.param({"backbone": "resnet50", "skips": ["2-S"]}, "no skip of stride 2", id="a finer skip"),
        pytest.param({"classes": object()}, "numbers, strings, booleans and lists", id="an object"),
    ],
)
def test_bad_switches_are_named_in_one_line(switches: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        build(**switches)
    assert "\n" not in str(caught.value)
