"""ADE20K-31: MLPerf's ids, its 512x512 evaluation files and its calibration list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.datasets import ade20k31
from mosaic_deploy.errors import DataError

Save = Callable[..., Path]


def put(root: Path, save: Save, folder: str, name: str, size: tuple[int, int] = (4, 6)) -> None:
    save(root / f"images/{folder}/{name}.jpg", np.zeros((*size, 3), np.uint8))
    ids = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size) % 151
    save(root / f"annotations/{folder}/{name}.png", ids)


def test_32_outputs_with_an_unscored_first() -> None:
    assert len(ade20k31.LABELS.classes) == len(set(ade20k31.LABELS.palette)) == 32
    assert ade20k31.LABELS.scored == tuple(range(1, 32))
    assert [ade20k31.LABELS.classes[i] for i in (1, 13, 31)] == ["wall", "person", "armchair"]


def test_raw_ids_stay_and_the_rest_is_ignored(tmp_path: Path, save: Save) -> None:
    put(tmp_path, save, "training", "ADE_train_00000001", (1, 151))
    label = ade20k31.load(tmp_path, "train")[0].label
    assert label is not None
    assert label[0].tolist() == [255, *range(1, 32), *[255] * 119]


def test_id_151_is_refused(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "images/training/a.jpg", np.zeros((2, 2, 3), np.uint8))
    save(tmp_path / "annotations/training/a.png", np.full((2, 2), 151, np.uint8))
    with pytest.raises(
        DataError, match="unknown class ids 151; this data set has 1-31 and ignores 0, 32-150, 255"
    ):
        ade20k31.load(tmp_path, "train")[0]


@pytest.mark.parametrize(
    ("size", "inner"),
    [((683, 512), (512, 383)), ((512, 683), (383, 512)), ((256, 256), (512, 512)), ((100, 200), (256, 512))],
    ids=["portrait", "landscape", "square", "small"],
)
def test_evaluation_file(tmp_path: Path, save: Save, size: tuple[int, int], inner: tuple[int, int]) -> None:
    save(tmp_path / "images/validation/a.png", np.full((*size, 3), 200, np.uint8))
    save(tmp_path / "annotations/validation/a.png", np.full(size, 7, np.uint8))
    sample = ade20k31.load(tmp_path, "val")[0]
    assert sample.image.shape == (512, 512, 3)
    assert sample.label is not None
    inside = np.zeros((512, 512), bool)
    inside[: inner[0], : inner[1]] = True
    assert (sample.label == np.where(inside, 7, 255)).all()
    assert (sample.image == np.where(inside, 200, 127)[..., None]).all()


def test_training_samples_keep_their_size(tmp_path: Path, save: Save) -> None:
    put(tmp_path, save, "training", "ADE_train_00000001")
    assert ade20k31.load(tmp_path, "train")[0].image.shape == (4, 6, 3)
    assert ade20k31.load(tmp_path, "calib")[0].image.shape == (512, 512, 3)


def test_folder_of_the_challenge_may_be_named_or_its_parent(tmp_path: Path, save: Save) -> None:
    put(tmp_path / "ADEChallengeData2016", save, "validation", "ADE_val_00000001")
    for root in (tmp_path, tmp_path / "ADEChallengeData2016"):
        assert [item.name for item in ade20k31.load(root, "val").items] == ["ADE_val_00000001"]


@pytest.fixture
def trained(tmp_path: Path, save: Save) -> Path:
    for i in range(1, 4):
        put(tmp_path, save, "training", f"ADE_train_{i:08d}")
    return tmp_path


def test_without_the_list_a_note_says_so(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ade20k31, "CALIBRATION_IMAGES", 2)
    data = ade20k31.load(trained, "calib")
    assert [item.name for item in data.items] == ["ADE_train_00000001", "ADE_train_00000002"]
    assert "not on MLPerf's list" in data.note
    assert not ade20k31.load(trained, "train").note


def test_the_list_is_followed(trained: Path) -> None:
    (trained / "ADE20k_calibration.txt").write_text(
        "ADE_train_00000003.jpg\r\n\r\nADE_train_00000001.jpg\r\n"
    )
    data = ade20k31.load(trained, "calib")
    assert [item.name for item in data.items] == ["ADE_train_00000003", "ADE_train_00000001"]
    assert not data.note


@pytest.mark.parametrize(
    ("text", "match"),
    [("ADE_train_00000009.jpg\n", "'ADE_train_00000009' first"), ("\n", "names no images")],
    ids=["unknown", "empty"],
)
def test_a_wrong_list_is_refused(trained: Path, text: str, match: str) -> None:
    (trained / "ADE20k_calibration.txt").write_text(text)
    with pytest.raises(DataError, match=match):
        ade20k31.load(trained, "calib")


def test_wrong_layout_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder of images"):
        ade20k31.load(tmp_path, "val")
    with pytest.raises(DataError, match="no split 'test'"):
        ade20k31.load(tmp_path, "test")
