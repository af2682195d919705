"""Cityscapes: 19 of its 34 ids, from either kind of label file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.datasets import cityscapes
from mosaic_deploy.errors import DataError

Save = Callable[..., Path]

IGNORED = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
KEPT = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


@pytest.fixture
def root(tmp_path: Path, save: Save) -> Path:
    for split in ("train", "val"):
        for name in ("aachen_000001_000019", "aachen_000000_000019"):
            save(
                tmp_path / f"leftImg8bit/{split}/aachen/{name}_leftImg8bit.png",
                np.zeros((1, 20, 3), np.uint8),
            )
    return tmp_path


def label(root: Path, split: str, name: str) -> Path:
    return root / f"gtFine/{split}/aachen/{name}.png"


def put(root: Path, save: Save, split: str, kind: str, ids: list[int]) -> None:
    for number in ("000000", "000001"):
        save(label(root, split, f"aachen_{number}_000019_gtFine_{kind}"), np.array([ids], np.uint8))


def test_nineteen_classes() -> None:
    assert len(cityscapes.LABELS.classes) == len(set(cityscapes.LABELS.palette)) == 19
    assert cityscapes.LABELS.classes[0] == "road"
    assert cityscapes.LABELS.classes[18] == "bicycle"
    assert cityscapes.LABELS.palette[13] == (0, 0, 142)


@pytest.mark.parametrize("split", ["train", "calib", "val"])
def test_train_ids_are_kept(root: Path, save: Save, split: str) -> None:
    folder = "train" if split == "calib" else split
    put(root, save, folder, "labelTrainIds", [*range(19), 255])
    data = cityscapes.load(root, split)
    assert [item.name for item in data.items] == ["aachen_000000_000019", "aachen_000001_000019"]
    found = data[0].label
    assert found is not None
    assert found[0].tolist() == [*range(19), 255]


def test_ids_are_mapped(root: Path, save: Save) -> None:
    put(root, save, "val", "labelIds", [*KEPT, 0])
    found = cityscapes.load(root, "val")[0].label
    assert found is not None
    assert found[0].tolist() == [*range(19), 255]


def test_every_other_id_is_ignored(root: Path, save: Save) -> None:
    put(root, save, "val", "labelIds", [*IGNORED, 255, 255, 255, 255, 255])
    found = cityscapes.load(root, "val")[0].label
    assert found is not None
    assert (found == 255).all()


def test_train_ids_go_first(root: Path, save: Save) -> None:
    put(root, save, "val", "labelIds", [7] * 20)
    put(root, save, "val", "labelTrainIds", [3] * 20)
    found = cityscapes.load(root, "val")[0].label
    assert found is not None
    assert (found == 3).all()


@pytest.mark.parametrize(("kind", "strange"), [("labelIds", 34), ("labelTrainIds", 19)])
def test_ids_of_another_table_are_refused(root: Path, save: Save, kind: str, strange: int) -> None:
    put(root, save, "val", kind, [strange] * 20)
    with pytest.raises(DataError, match=f"unknown class ids {strange}"):
        cityscapes.load(root, "val")[0]


def test_missing_label_names_both_files(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"_gtFine_labelTrainIds\.png \(or _gtFine_labelIds\.png\) is missing"
    ):
        cityscapes.load(root, "val")


def test_wrong_layout_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no CITY/X_leftImg8bit"):
        cityscapes.load(tmp_path, "val")
    with pytest.raises(DataError, match="no split 'test'"):
        cityscapes.load(tmp_path, "test")
