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
from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels

_ROWS = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
"""Id in the labelIds files, name and colour of each class; the row is its train id."""

LABELS = LabelSpace(
    classes=tuple(name for _, name, _ in _ROWS),
    palette=tuple(colour for _, _, colour in _ROWS),
)
SPLITS = ("train", "val")
HOME = Home(
    holds="leftImg8bit/train|val and gtFine/train|val",
    origin="the Cityscapes site gives both out after registration",
    environment="MOSAIC_CITYSCAPES",
)
_LAST_ID = 33
_TRAIN_IDS, _IDS = "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"

_from_train_ids = ids_up_to(len(_ROWS), ignore=(IGNORE,))
_from_ids = ids_by_table(
    dict.fromkeys((*range(_LAST_ID + 1), IGNORE), IGNORE) | {raw: i for i, (raw, *_) in enumerate(_ROWS)}
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
