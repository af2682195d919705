"""ADE20K's 31 most frequent classes, as MLPerf Mobile measures them.

A root holds ``images/training|validation`` (JPEG) and ``annotations/training|validation`` (8-bit PNG), as
ADEChallengeData2016 does, or a folder of that name which does.

*Labels.* The raw ids 1 to 31 stay as they are, so a network has 32 outputs; 0 (other) is one that is never
scored. In label maps 0 and 32 to 150 become 255.

*Files.* ``val`` and ``calib`` samples are the 512x512 files that the app reads, before their JPEG coding: the
longer side fits, bilinear for the image and nearest for the label, both with aligned corners, padded at the
bottom and right with 127 and 255. ``train`` samples keep their size.

*mIoU.* Over the whole set, on pixels whose truth is 1 to 31; a prediction of 0 there is a miss and no one's
false alarm. Three ways of averaging are in use, see :data:`mosaic_deploy.accuracy.metrics.Averaging`; ours
is the mean over the classes that occur, which on the whole validation set is the app's.

*Calibration.* MLPerf's 500 training images are given by name (mlcommons/mobile_open,
``calibration/ADE20K/ADE20k_calibration.txt``). Put that list into the root under its name; without it the
first 500 training images stand in, and the note of the data set says so.

Source: Zhou et al., "Scene parsing through ADE20K dataset" (2017); MLCommons' mobile_open and
mobile_app_open. For research and non-commercial use: never redistributed here.
"""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.datasets.samples import FileDataset, Home, Item, ids_by_table, pair_files
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.label_spaces import ADE20K31
from mosaic_deploy.specs.labels import IGNORE, Pixels
from mosaic_deploy.specs.resample import letterbox_image, letterbox_label

_LAST, _LAST_RAW = 31, 150
SIDE = 512
"""Both sides of an evaluation file, in pixels."""
CALIBRATION_LIST = "ADE20k_calibration.txt"
CALIBRATION_IMAGES = 500

LABELS = ADE20K31
SPLITS = ("train", "calib", "val")
HOME = Home(
    holds="images/training|validation and annotations/training|validation",
    origin="ADEChallengeData2016 of MIT's scene parsing benchmark",
    environment="MOSAIC_ADE20K",
)
_decode = ids_by_table(
    dict.fromkeys((0, *range(_LAST + 1, _LAST_RAW + 1), IGNORE), IGNORE) | {i: i for i in range(1, _LAST + 1)}
)


def load(root: Path, split: str) -> FileDataset:
    """Open one split; raises ``DataError`` where the folders are not laid out as above."""
    if split not in SPLITS:
        raise DataError(f"ade20k31: no split '{split}'; there are {', '.join(SPLITS)}")
    inside = root / "ADEChallengeData2016"
    home = inside if inside.is_dir() else root
    folder = "validation" if split == "val" else "training"
    items, note = pair_files(home / "images" / folder, home / "annotations" / folder), ""
    if split == "calib":
        items, note = _calibration(items, (root / CALIBRATION_LIST, home / CALIBRATION_LIST))
    return FileDataset("ade20k31", LABELS, items, _decode, fit=None if split == "train" else _fit, note=note)


def _fit(image: Pixels, label: Pixels | None) -> tuple[Pixels, Pixels | None]:
    small = None if label is None else letterbox_label(label, (SIDE, SIDE), fill=IGNORE)
    return letterbox_image(image, (SIDE, SIDE)), small


def _calibration(items: tuple[Item, ...], lists: tuple[Path, ...]) -> tuple[tuple[Item, ...], str]:
    """Choose the listed images, in the list's order, or the first 500; and say which it was."""
    path = next((path for path in lists if path.is_file()), None)
    if path is None:
        return items[:CALIBRATION_IMAGES], (
            f"Calibrated on images out of the first {CALIBRATION_IMAGES} training images, not on MLPerf's "
            f"list: {CALIBRATION_LIST} is not in the data set's folder."
        )
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: cannot be read ({err})") from err
    stems = dict.fromkeys(Path(line.strip()).stem for line in lines if line.strip())
    by_name = {item.name: item for item in items}
    missing = [stem for stem in stems if stem not in by_name]
    if missing or not stems:
        raise DataError(
            f"{path}: names {len(missing)} images that are not in images/training, '{missing[0]}' first"
            if missing
            else f"{path}: names no images"
        )
    return tuple(by_name[stem] for stem in stems), ""
