import json
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.datasets.camvid import LABELS
from mosaic_deploy.errors import DataError, MosaicError, UsageError
from mosaic_deploy.street_scenes.render import write
from mosaic_deploy.zoo import build_network
from mosaic_deploy.zoo.train.session import Settings, train_card
from mosaic_deploy.zoo.weights import load_weights
from tests.conftest import Tiny

CARD = f"""
schema = 1
name = "small"
summary = "MOSAIC with two bins at 64x96"
licence = "Apache-2.0"
[source]
factory = "mosaic"
[source.switches]
classes = 11
bins = [1, 2]
[contract]
height = 64
width = 96
classes = {json.dumps(LABELS.classes)}
palette = {json.dumps(LABELS.palette)}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    write(folder, split="train", indices=range(4), seed=1)
    write(folder, split="val", indices=range(2), seed=2)
    (folder / "small.toml").write_text(CARD)
    return folder


def settings(root: Path, out: Path) -> Settings:
    return Settings(
        model=str(root / "small.toml"), data=(f"streets:{root}*0.5",), out=out, epochs=1, batch=2
    )  # fmt: skip


def silent(stage: str, share: float, note: str) -> None:
    assert 0 <= share <= 1


def test_a_run_from_the_command_line_s_words(root: Path, tmp_path: Path) -> None:
    figures = train_card(settings(root, tmp_path / "run"), progress=silent)
    assert figures["step"] == 2
    assert 0 <= figures["miou_streets"] <= 1
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert record == {"data": [f"streets:{root}*0.5"], "samples": [4]}
    net = build_network("mosaic", classes=11, bins=[1, 2], head="lowres")
    load_weights(net, tmp_path / "run" / "weights.safetensors")
    again = replace(
        settings(root, tmp_path / "next"), init=tmp_path / "run" / "weights.safetensors", epochs=0.5
    )
    assert train_card(again, progress=silent)["step"] == 1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"minutes": 1.0}, UsageError, "give one"),
        ({"epochs": -1.0}, UsageError, "above 0"),
        ({"weighting": "cubic"}, UsageError, "none, sqrt, median"),
        ({"batch": 1}, UsageError, "at least 2"),
        ({"data": ("streets*0",)}, UsageError, "above 0"),
        ({"data": ("streets*x",)}, UsageError, "a number"),
        ({"data": ("streats",)}, DataError, "did you mean 'streets'"),
        ({"init": Path("none.safetensors")}, MosaicError, "none.safetensors"),
        ({"model": "mosiac"}, MosaicError, "did you mean 'mosaic'"),
    ],
    ids=["both", "negative", "weighting", "batch", "share", "share-word", "data", "init", "model"],
)
def test_settings_that_make_no_sense(
    root: Path, tmp_path: Path, change: dict[str, object], error: type[MosaicError], says: str
) -> None:
    wrong = replace(settings(root, tmp_path / "run"), **change)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(error, match=says):
        train_card(wrong, progress=silent)
    assert not (tmp_path / "run").exists()


def test_only_networks_of_the_zoo_train(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only networks of the zoo"):
        train_card(Settings(model=str(tiny.card), data=("streets",), out=tmp_path / "run"), progress=silent)
