"""Calibration images that stand in the validation set are refused, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.datasets.leak import fingerprint, require_disjoint
from mosaic_deploy.datasets.samples import FileDataset, ids_up_to, pair_files
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import LabelSpace

Save = Callable[..., Path]


def opened(folder: Path) -> FileDataset:
    return FileDataset(folder.name, LabelSpace((), ()), pair_files(folder, None), ids_up_to(0, ignore=()))


def disjoint(calibration: FileDataset, validation: FileDataset) -> None:
    prints = {s.items[i]: fingerprint(s.pixels(i)) for s in (calibration, validation) for i in range(len(s))}
    require_disjoint(calibration, validation, prints)


@pytest.fixture
def sets(tmp_path: Path, save: Save, rng: np.random.Generator) -> tuple[Path, Path]:
    for name in ("calib", "val"):
        for i in range(3):
            save(tmp_path / name / f"{i}.png", rng.integers(0, 256, (6, 8, 3), np.uint8))
    return tmp_path / "calib", tmp_path / "val"


def test_different_images_of_the_same_names_pass(sets: tuple[Path, Path]) -> None:
    disjoint(opened(sets[0]), opened(sets[1]))


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_the_same_image_is_found_under_another_name_and_format(
    sets: tuple[Path, Path], save: Save, suffix: str, rng: np.random.Generator
) -> None:
    twin = rng.integers(0, 256, (6, 8, 3), np.uint8)
    save(sets[0] / "twin.png", twin)
    options = {"lossless": True} if suffix == "webp" else {}
    save(sets[1] / f"other.{suffix}", twin, **options)
    with pytest.raises(DataError, match=r"1 of 4 calibration images are also in .*\(twin\)"):
        disjoint(opened(sets[0]), opened(sets[1]))


def test_the_same_folder_is_refused(sets: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="3 of 3"):
        disjoint(opened(sets[0]), opened(sets[0]))


def test_the_same_bytes_in_another_shape_are_another_image(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "calib/a.png", np.zeros((6, 8, 3), np.uint8))
    save(tmp_path / "val/a.png", np.zeros((8, 6, 3), np.uint8))
    disjoint(opened(tmp_path / "calib"), opened(tmp_path / "val"))


def test_no_calibration_is_refused(sets: tuple[Path, Path]) -> None:
    none = FileDataset("none", LabelSpace((), ()), (), ids_up_to(0, ignore=()))
    with pytest.raises(DataError, match="no images to calibrate on"):
        disjoint(none, opened(sets[1]))
