"""Persons cut out of CamVid, to judge networks that tell a person from the background: a folder data set.

    uv run python benchmarks/persons.py CAMVID OUT [--least 70] [--calibration 32]

CAMVID holds ``train`` and ``val`` with ``images`` and ``labels``. The largest pedestrian or cyclist of an
image, if at least ``--least`` pixels high, gives one square cut; ``OUT/calib`` is of ``train``. The cuts are
not to be passed on: CamVid's terms are those of research.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_PERSONS = (9, 10)
_ROOM = 1.25
"""Side of a cut, as a multiple of the person's height or width."""


def cuts(folder: Path, least: int) -> Iterator[tuple[str, Image.Image, NDArray[np.uint8]]]:
    """Name, image and labels (1 where a person is) of each cut of a split, in the images' order."""
    for path in sorted((folder / "images").iterdir()):
        persons = np.isin(np.asarray(Image.open(folder / "labels" / f"{path.stem}.png")), _PERSONS)
        parts, count = ndimage.label(persons)
        if not count:
            continue
        largest = 1 + int(np.argmax(ndimage.sum(persons, parts, range(1, count + 1))))
        rows, columns = np.where(parts == largest)
        if np.ptp(rows) + 1 < least:
            continue
        side = min(int(max(np.ptp(rows), np.ptp(columns)) * _ROOM), *persons.shape)
        top, left = (
            int(np.clip((place.max() + place.min()) // 2 - side // 2, 0, length - side))
            for place, length in zip((rows, columns), persons.shape, strict=True)
        )
        image = Image.open(path).convert("RGB").crop((left, top, left + side, top + side))
        yield path.stem, image, persons[top : top + side, left : left + side].astype(np.uint8)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("camvid", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--least", type=int, default=70)
    parser.add_argument("--calibration", type=int, default=32)
    given = parser.parse_args()
    calibration = list(cuts(given.camvid / "train", given.least))
    every = max(len(calibration) // given.calibration, 1)
    for split, found in (("calib", calibration[::every][: given.calibration]), ("val", None)):
        (given.out / split / "images").mkdir(parents=True, exist_ok=True)
        (given.out / split / "labels").mkdir(exist_ok=True)
        for name, image, label in found or cuts(given.camvid / "val", given.least):
            image.save(given.out / split / "images" / f"{name}.png")
            Image.fromarray(label).save(given.out / split / "labels" / f"{name}.png")
    (given.out / "classes.txt").write_text("background\nperson\n", encoding="utf-8")


if __name__ == "__main__":
    main()
