from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mosaic_deploy.datasets.camvid import LABELS
from mosaic_deploy.datasets.samples import FileDataset, ids_up_to, pair_files
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.zoo.network import Network
from mosaic_deploy.zoo.train import state
from mosaic_deploy.zoo.train.batches import read_pool
from mosaic_deploy.zoo.train.config import TrainConfig
from mosaic_deploy.zoo.train.loop import Run, train

CONTRACT = Contract(height=32, width=64, classes=LABELS.classes, palette=LABELS.palette)
CONFIG = TrainConfig(size=(32, 64), epochs=6, batch=4, learning_rate=2e-2, low_share=0.0, ema=0.8)


class Net(Network):
    """Tells sky from road by colour: 1x1 convolutions are enough."""

    def __init__(self) -> None:
        super().__init__(head="lowres", sampling="half_pixel")
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(4), nn.Conv2d(16, 11, 1)
        )

    def scores(self, image: Tensor) -> Tensor:
        out: Tensor = self.layers(image)
        return out


@pytest.fixture
def data(tmp_path: Path) -> FileDataset:
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for index in range(8):
        label = np.zeros((32, 64), np.uint8)
        label[int(rng.integers(10, 22)) :] = 3
        label[:2] = 11
        image = np.where(label[..., None] == 3, (90, 80, 70), (180, 200, 240)).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        Image.fromarray(label).save(root / "labels" / f"{index}.png")
    items = pair_files(root / "images", root / "labels")
    return FileDataset("toy", LABELS, items, ids_up_to(11, ignore=(11,)))


def run_in(folder: Path, data: FileDataset, config: TrainConfig = CONFIG) -> Run:
    torch.manual_seed(0)
    pool = read_pool(data, 1.0, on_progress=lambda: None)
    return Run(
        net=Net(),
        contract=CONTRACT,
        config=config,
        pools=[pool],
        evaluate_on={"toy": data},
        folder=folder,
        report=lambda share, line: None,
    )


@pytest.mark.slow
def test_learns_and_leaves_weights_log_and_curve(tmp_path: Path, data: FileDataset) -> None:
    figures = train(run_in(tmp_path / "run", data, replace(CONFIG, evaluate_every=0.0, epochs=12)))
    assert figures["miou_toy"] > 0.9
    assert np.isnan(figures["toy_car"])
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {"checkpoint.safetensors", "config.json", "curve.png", "log.csv", "weights.safetensors"}
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[0].startswith("step,seconds,loss,miou_toy")
    assert len(log) == 1 + 24


class Helped(Net):
    """The same with an auxiliary head that learns nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Conv2d(3, 11, 1)

    def training_scores(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.scores(image), self.auxiliary(image)


def test_auxiliary_heads_are_trained_too(tmp_path: Path, data: FileDataset) -> None:
    torch.manual_seed(0)
    net = Helped()
    before = net.auxiliary.weight.detach().clone()
    train(replace(run_in(tmp_path / "run", data, replace(CONFIG, epochs=1)), net=net))
    assert not torch.equal(net.auxiliary.weight, before)


def test_stopped_run_goes_on_where_it_was(tmp_path: Path, data: FileDataset) -> None:
    run = run_in(tmp_path / "run", data)
    steps: list[str] = []

    def stop_at_five(share: float, line: str) -> None:
        steps.append(line)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(replace(run, report=stop_at_five))
    found = state.restore(tmp_path / "run")
    assert found is not None
    parts, progress = found
    assert progress.step == 5
    assert {name.split(".")[1] for name in parts["optimiser"]} == {"step", "exp_avg", "exp_avg_sq"}
    train(replace(run_in(tmp_path / "run", data), report=lambda share, line: steps.append(line)))
    assert steps[5].startswith("step 6 ")
    assert len(steps) == 12


def test_other_settings_are_refused(tmp_path: Path, data: FileDataset) -> None:
    train(run_in(tmp_path / "run", data, replace(CONFIG, epochs=0.5)))
    with pytest.raises(UsageError, match="other settings \\(learning_rate\\)"):
        train(run_in(tmp_path / "run", data, replace(CONFIG, epochs=0.5, learning_rate=1.0)))


def test_damaged_checkpoint_is_one_clear_error(tmp_path: Path, data: FileDataset) -> None:
    train(run_in(tmp_path / "run", data, replace(CONFIG, epochs=0.5)))
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="not a checkpoint of a run"):
        train(run_in(tmp_path / "run", data, replace(CONFIG, epochs=0.5)))


def test_schedules() -> None:
    config = TrainConfig(size=(384, 512))
    assert config.crop(0.1) == (256, 352)
    assert config.crop(0.5) == (384, 512)
    assert config.rate(0.5) == pytest.approx(config.learning_rate * 0.5**0.9)
    assert config.rate(0.0) < config.rate(0.01) < config.rate(0.02)
    assert config.rate(1.0) == 0.0
