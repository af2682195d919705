"""Cityscapes, 19 classes: 1024x2048 driving scenes of 50 cities.

A root holds ``leftImg8bit/train|val/CITY/X_leftImg8bit.png`` and beside it ``gtFine/train|val/CITY/`` with
``X_gtFine_labelTrainIds.png``, or else ``X_gtFine_labelIds.png``, whose ids are mapped here. There is no
calibration split: ``calib`` is the training split. Everything but the 19 classes is never scored. mIoU is the
mean over the 19 classes of the confusion that is accumulated over the 500 images of ``val``, at full size.

Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding" (2016), and the table
of ids in its cityscapesScripts. For non-commercial use under its own licence: never redistributed here.
"""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.datasets.samples import FileDataset, Home, Item, ids_by_table, ids_up_to
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.label_spaces import CITYSCAPES
from mosaic_deploy.specs.labels import IGNORE, Pixels

_RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Id in the labelIds files of each class; the place is its train id."""

LABELS = CITYSCAPES
SPLITS = ("train", "val")
HOME = Home(
    holds="leftImg8bit/train|val and gtFine/train|val",
    origin="the Cityscapes site gives both out after registration",
    environment="MOSAIC_CITYSCAPES",
)
_LAST_ID = 33
_TRAIN_IDS, _IDS = "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"

_from_train_ids = ids_up_to(len(_RAW_IDS), ignore=(IGNORE,))
_from_ids = ids_by_table(
    dict.fromkeys((*range(_LAST_ID + 1), IGNORE), IGNORE) | {raw: i for i, raw in enumerate(_RAW_IDS)}
)


def load(root: Path, split: str) -> FileDataset:
    """Open one split; raises ``DataError`` where the folders are not laid out as above."""
    name = "train" if split == "calib" else split
    if name not in SPLITS:
        raise DataError(f"cityscapes: no split '{split}'; there are calib, {', '.join(SPLITS)}")
    images, labels = root / "leftImg8bit" / name, root / "gtFine" / name
    found = sorted(images.glob("*/*_leftImg8bit.png"))
    if not found:
        raise DataError(f"{images}: holds no CITY/X_leftImg8bit.png")
    items = tuple(_item(path, labels) for path in found)
    return FileDataset("cityscapes", LABELS, items, _decode)


def _item(image: Path, labels: Path) -> Item:
    stem = image.name.removesuffix("_leftImg8bit.png")
    folder = labels / image.parent.name
    for suffix in (_TRAIN_IDS, _IDS):
        if (folder / f"{stem}{suffix}").is_file():
            return Item(stem, image, folder / f"{stem}{suffix}")
    raise DataError(f"{image}: its label map {folder / stem}{_TRAIN_IDS} (or {_IDS}) is missing")


def _decode(raw: Pixels, path: Path) -> Pixels:
    return (_from_ids if path.name.endswith(_IDS) else _from_train_ids)(raw, path)
