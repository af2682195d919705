"""Untrained weights: the same each time, classes that compete, and files that say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import final

import pytest

from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import UNTRAINED
from mosaic_deploy.specs.model_card import ModelCard, Source
from mosaic_deploy.specs.registry import load_spec

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from mosaic_deploy.zoo import build_network  # noqa: E402
from mosaic_deploy.zoo.card_export import export_card  # noqa: E402
from mosaic_deploy.zoo.layers.layers import Conv, ConvBN  # noqa: E402
from mosaic_deploy.zoo.network import Network  # noqa: E402
from mosaic_deploy.zoo.untrained import (  # noqa: E402
    _draw_norms,
    _score_makers,
    fed,
    scenes,
    seeded,
    settle,
)

CLASSES = 7


@final
class Headed(Network):
    """A stem with one of the ways in which heads make scores."""

    def __init__(self, head: str, *, least: int = 0) -> None:
        super().__init__(head="logits", sampling="half_pixel")
        self.kind, self.least = head, least
        self.stem = ConvBN(Conv(3, 16, 3, stride=2))
        self.coarse = ConvBN(Conv(16, CLASSES, 3, stride=2))  # as many channels as classes, by chance
        self.low = nn.Conv2d(CLASSES, CLASSES, 1, bias=False)
        self.high = nn.Conv2d(16, CLASSES, 1, bias=False)
        self.rectified = nn.ModuleList([ConvBN(Conv(CLASSES, CLASSES, 1)), ConvBN(Conv(16, CLASSES, 1))])
        self.up = nn.ConvTranspose2d(CLASSES, CLASSES, 2, 2, groups=CLASSES)

    def scores(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, CLASSES, H/2, W/2)."""
        if min(image.shape[2:]) < self.least:
            raise ModelError("too small")
        fine = self.stem(image)
        coarse = self.coarse(fine)
        size = (int(fine.shape[2]), int(fine.shape[3]))
        scores: Tensor
        if self.kind == "rectified":
            scores = self.resize(self.rectified[0](coarse), size) + self.rectified[1](fine)
        elif self.kind == "sum":
            scores = self.resize(self.low(coarse), size) + self.high(fine)
        else:
            scores = self.up(self.low(coarse))
        return scores


def contract(height: int, width: int) -> Contract:
    names = tuple(f"class {i}" for i in range(CLASSES))
    return Contract(height=height, width=width, classes=names, palette=((0, 0, 0),) * CLASSES)


@pytest.mark.parametrize(
    ("head", "makers"),
    [
        ("sum", {"low", "high"}),
        ("rectified", {"rectified.0.bn", "rectified.1.bn"}),
        ("transposed", {"up"}),
    ],
)
def test_classes_compete_whatever_makes_the_scores(head: str, makers: set[str]) -> None:
    with seeded(), torch.no_grad():
        net = Headed(head)
        settle(net, contract(64, 96))
        images = torch.cat([torch.rand(1, 3, 64, 96) for _ in range(2)])
        found = _score_makers(net, images[:1])
    assert {name for name, module in net.named_modules() if any(module is m for m in found)} == makers
    assert not net.training


def test_scores_are_level_on_the_scenes() -> None:
    stated = contract(64, 96)
    with seeded(), torch.no_grad():
        net = Headed("sum")
        settle(net, stated)
        scores = torch.cat([net.scores(fed(path, stated)) for path in scenes()])
    assert scores.mean((0, 2, 3)).abs().max() < 1e-3
    assert (scores.std((0, 2, 3)) - 1).abs().max() < 1e-3
    shares = torch.bincount(scores.argmax(1).flatten(), minlength=CLASSES) / scores[:, 0].numel()
    assert shares.max() < 0.6
    assert (shares > 0.01).sum() > CLASSES // 2


def test_a_network_that_takes_no_crop_settles_on_whole_images() -> None:
    with seeded():
        settle(Headed("sum", least=700), contract(704, 720))
        with pytest.raises(ModelError, match="too small"):
            settle(Headed("sum", least=800), contract(704, 720))


def test_a_branch_that_starts_closed_is_opened_a_little() -> None:
    net = Headed("logits")
    nn.init.zeros_(net.coarse.bn.weight)
    with seeded(), torch.no_grad():
        _draw_norms(net)
    opened, others = net.coarse.bn.weight.detach(), net.stem.bn.weight.detach()
    assert 0 < float(opened.min()) <= float(opened.max()) < 0.2
    assert float(others.min()) > 0.5


def test_what_was_before_comes_back() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    with seeded():
        torch.rand(9)
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_an_untrained_export_is_the_same_each_time_and_says_what_it_is(tmp_path: Path) -> None:
    import onnx

    trained = load_spec(ModelCard, "mosaic")
    small = trained.contract.model_copy(update={"height": 256, "width": 256})
    source = Source(factory="mosaic", switches={"classes": 11})
    card = trained.model_copy(update={"source": source, "contract": small})
    files = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for index, path in enumerate(files):
        torch.manual_seed(index)
        export_card(card, tmp_path, path, lambda _share, _text: None)
    assert files[0].read_bytes() == files[1].read_bytes()
    notes = onnx.load(files[0]).metadata_props
    assert [(note.key, note.value) for note in notes] == [UNTRAINED]
    assert isinstance(build_network("mosaic"), Network)
