"""Ranges in a file, with their audit, from a tiny network's real runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mosaic_deploy.build.calibration import CalibrationRequest, calibrate
from mosaic_deploy.build.calibration_text import explain
from mosaic_deploy.errors import DataError, ModelError, UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.ranges import TensorRange, read_ranges
from tests.conftest import Tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def request_(tiny: Tiny) -> CalibrationRequest:
    """Smooth scenes that differ, as those of the tiny data set do not."""
    rng = np.random.default_rng(5)
    folder = tiny.root / "scenes" / "calib" / "images"
    folder.mkdir(parents=True)
    for index in range(7):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((56, 40), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return CalibrationRequest(str(tiny.card), f"folder:{tiny.root / 'scenes'}", processes=1)


def test_processes_and_order_change_nothing(request_: CalibrationRequest, tmp_path: Path) -> None:
    found = calibrate(request_)
    assert found.model_dump_json() == calibrate(replace(request_, processes=3)).model_dump_json()
    turned = tmp_path / "turned" / "calib" / "images"
    turned.mkdir(parents=True)
    for path in Path(request_.data.partition(":")[2]).rglob("*.png"):
        shutil.copy(path, turned / f"{9 - int(path.stem)}.png")
    again = calibrate(replace(request_, data=f"folder:{tmp_path / 'turned'}"))
    assert again.model_dump_json() == found.model_dump_json()


def test_the_file_holds_ranges_and_the_audit(request_: CalibrationRequest, tmp_path: Path) -> None:
    found = calibrate(request_)
    assert found.images == 7
    assert {"image", "scores"} <= found.tensors.keys() or {"image", "logits"} <= found.tensors.keys()
    assert all(tensor.low <= tensor.high for tensor in found.tensors.values())
    assert sum(each.predicted for each in found.classes) == pytest.approx(1)
    assert any("by the classes that the float network predicts" in line for line in explain(found))
    place = tmp_path / "ranges.json"
    write_whole(place, found.model_dump_json(by_alias=True))
    assert read_ranges(place) == found


def test_the_variable_that_names_the_folder_counts(
    tiny: Tiny, request_: CalibrationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = Path(request_.data.partition(":")[2]) / "calib" / "images"
    root = tiny.root / "camvid"
    for split in ("train", "val"):
        shutil.copytree(scenes, root / split / "images")
        (root / split / "labels").mkdir()
        for path in scenes.iterdir():
            Image.fromarray(np.ones((40, 56), np.uint8)).save(root / split / "labels" / path.name)
    monkeypatch.setenv("MOSAIC_CAMVID", str(root))
    found = calibrate(replace(request_, data="camvid"))
    assert len(found.overlap) == 7
    assert any("7 pairs of calibration and validation images look the same" in s for s in explain(found))
    assert [each.labels for each in found.classes] == [0, 1, 0]


def test_a_file_of_another_network_is_refused(request_: CalibrationRequest) -> None:
    found = calibrate(request_)
    found.require_model(found.graph)
    with pytest.raises(ModelError, match="of another network or other weights"):
        found.require_model("0" * 64)


def test_what_is_no_file_of_ranges_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match="no file of ranges"):
        read_ranges(tmp_path / "a.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_ranges(tmp_path / "b.json")


def test_one_image_many_times_is_refused(request_: CalibrationRequest, tmp_path: Path) -> None:
    folder = tmp_path / "same" / "images"
    folder.mkdir(parents=True)
    first = next(Path(request_.data.partition(":")[2]).rglob("*.png"))
    for index in range(3):
        shutil.copy(first, folder / f"{index}.png")
    with pytest.raises(DataError, match="all are the same one"):
        calibrate(replace(request_, data=f"folder:{tmp_path / 'same'}"))


def test_numbers_that_make_no_sense_are_refused(request_: CalibrationRequest) -> None:
    with pytest.raises(UsageError, match="0 processes"):
        calibrate(replace(request_, processes=0))
    with pytest.raises(UsageError, match="nothing is calibrated"):
        calibrate(replace(request_, recipe="fp16"))
    with pytest.raises(DataError, match="at least 2 are needed"):
        calibrate(replace(request_, samples=1))


def test_no_tensor_of_a_sound_file_has_its_ends_swapped() -> None:
    ends = {"low": 1, "high": 0, "method": "mse", "saturated": 0, "unstable": 0, "subset": 1}
    with pytest.raises(ValueError, match="low is above high"):
        TensorRange.model_validate(ends)
