"""One method for a network, by what it changes on images held out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.ort.quantize import quantize
from mosaic_deploy.quantize.method_trial import Tried, best, held_out
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from tests.backends.qnn.test_backend import HEIGHT, WIDTH, network


def quiet(_share: float, _text: str) -> None:
    pass


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"{index}.npy" for index in range(8)]
    for path in paths:
        np.save(path, rng.normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32))
    return paths


def test_names_and_order_of_the_images_do_not_matter(images: list[Path], tmp_path: Path) -> None:
    fit, held = held_out(images)
    assert (len(fit), len(held)) == (6, 2)
    assert held_out(images[::-1]) == (fit, held)
    (tmp_path / "turned").mkdir()
    turned = [Path(shutil.copy(path, tmp_path / "turned" / f"{9 - int(path.stem)}.npy")) for path in images]
    assert [p.read_bytes() for p in held_out(turned)[1]] == [p.read_bytes() for p in held]
    for path in turned:
        np.save(path, np.load(path).transpose(0, 2, 3, 1))
    assert [p.name for p in held_out(turned)[1]] == [f"{9 - int(p.stem)}.npy" for p in held]
    assert held_out(images[:1]) == ((images[0],), ())


def test_another_method_must_be_better_by_more_than_noise() -> None:
    plain = Tried(0.02, 0.010)
    assert (
        best({"minmax": Tried(0.05, 0.03), "percentile": plain, "entropy": Tried(0.01, 0.005)}) == "entropy"
    )
    assert best({"minmax": Tried(0.02, 0.0099), "percentile": plain}) == "percentile"
    assert best({"minmax": Tried(0.0, 0.0), "percentile": Tried(0.0, 0.0)}) == "percentile"


def test_the_report_has_what_each_gave_and_any_order_gives_the_same_file(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(network("lowres"), tmp_path / "net.onnx")
    recipe = load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True)
    recipe["calibration"]["method"] = "best-scores"
    request: dict[str, Any] = {"onnx": "net.onnx", "recipe": recipe, "pixels": None, "threads": 1}
    made = []
    for order in (images, images[::-1]):
        facts = quantize({**request, "calibration": [str(path) for path in order], "out": "out.onnx"}, quiet)
        made.append((facts, (tmp_path / "out.onnx").read_bytes()))
    assert made[0] == made[1]
    told = made[0][0]["ranges"]
    assert set(told["tried"]) == {"minmax", "percentile", "mse", "entropy"}
    tried = {name: Tried(**each) for name, each in told["tried"].items()}
    assert told["method"] == best(tried)
    assert any(each.flips > 0 for each in tried.values())
    recipe["calibration"]["method"] = told["method"]
    quantize({**request, "calibration": [str(path) for path in images], "out": "plain.onnx"}, quiet)
    assert (tmp_path / "plain.onnx").read_bytes() == made[0][1]
