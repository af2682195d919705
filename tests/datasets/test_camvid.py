"""CamVid: the layout, the ids, and on the real files the published counts of pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.accuracy.metrics import confusion
from mosaic_deploy.datasets import camvid, open_data
from mosaic_deploy.datasets.images import read_label
from mosaic_deploy.errors import DataError

Save = Callable[..., Path]

ROOT = os.environ.get("MOSAIC_CAMVID")
on_camvid = pytest.mark.skipif(ROOT is None, reason="MOSAIC_CAMVID names no CamVid folder")

VAL_PIXELS = [
    1_601_620, 4_531_180, 98_499, 5_053_176, 1_521_751, 2_851_125,
    155_724, 537_197, 304_716, 113_531, 387_010, 297_271,
]  # fmt: skip
"""Pixels of each id 0..11 in the 101 validation label maps."""


def test_eleven_classes_with_their_colours() -> None:
    assert len(camvid.LABELS.classes) == len(set(camvid.LABELS.classes)) == 11
    assert len(camvid.LABELS.palette) == len(set(camvid.LABELS.palette)) == 11
    assert camvid.LABELS.classes[9] == "pedestrian"
    assert camvid.LABELS.palette[4] == (60, 40, 222)
    assert camvid.LABELS.scored == tuple(range(11))


@pytest.mark.parametrize("style", ["folders", "tutorial"])
@pytest.mark.parametrize(
    ("split", "folder"), [("train", "train"), ("calib", "train"), ("val", "val"), ("test", "test")]
)
def test_both_layouts(tmp_path: Path, save: Save, style: str, split: str, folder: str) -> None:
    images, labels = {
        "folders": (f"{folder}/images", f"{folder}/labels"),
        "tutorial": (folder, f"{folder}annot"),
    }[style]
    save(tmp_path / images / "x.png", np.zeros((2, 3, 3), np.uint8))
    save(tmp_path / labels / "x.png", np.array([[0, 10, 11]] * 2, np.uint8))
    (sample,) = camvid.load(tmp_path, split)
    assert sample.label is not None
    assert sample.label[0].tolist() == [0, 10, 255]


@pytest.mark.parametrize(
    ("split", "match"),
    [("all", "no split 'all'; there are calib, train, val, test"), ("val", "no such folder of images")],
    ids=["unknown-split", "missing"],
)
def test_wrong_layout_is_explained(tmp_path: Path, split: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        camvid.load(tmp_path, split)


def test_missing_labels_are_no_unlabelled_set(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "val/images/x.png", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DataError, match="no such folder of label maps"):
        camvid.load(tmp_path, "val")


def test_id_12_is_refused(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "val/images/x.png", np.zeros((2, 3, 3), np.uint8))
    save(tmp_path / "val/labels/x.png", np.full((2, 3), 12, np.uint8))
    with pytest.raises(DataError, match="unknown class ids 12"):
        camvid.load(tmp_path, "val")[0]


@on_camvid
@pytest.mark.parametrize(("split", "images"), [("train", 367), ("calib", 367), ("val", 101)])
def test_real_splits_are_complete(split: str, images: int) -> None:
    assert len(camvid.load(Path(str(ROOT)), split)) == images


@on_camvid
def test_real_validation_labels_have_the_published_pixels() -> None:
    raw = np.zeros(256, np.int64)
    decoded = np.zeros((11, 11), np.int64)
    data = open_data("camvid", split="val")
    for item in data.items:
        assert item.label is not None
        label = read_label(item.label)
        assert label.shape == (360, 480)
        raw += np.bincount(label.ravel(), minlength=256)
        ids = data.decode(label, item.label)
        decoded += confusion(ids, ids, classes=11)
    assert raw[:12].tolist() == VAL_PIXELS
    assert not raw[12:].any()
    assert raw.sum() == 17_452_800
    assert np.diag(decoded).tolist() == VAL_PIXELS[:11]


@on_camvid
def test_real_images_are_480_by_360() -> None:
    for sample in open_data("camvid", split="val").take(4):
        assert sample.image.shape == (360, 480, 3)
