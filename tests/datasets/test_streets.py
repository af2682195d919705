"""Rendered scenes in files: the embedded set is exactly the published one, or refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.datasets import camvid, streets
from mosaic_deploy.datasets.leak import fingerprint
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.root import spec_root

Save = Callable[..., Path]

EMBEDDED = spec_root() / "calib_data/streets"


def record(root: Path, name: str) -> dict[str, str]:
    image, label = f"val/images/{name}.png", f"val/labels/{name}.png"
    return {
        "image": image,
        "label": label,
        "sha256_image": hashlib.sha256((root / image).read_bytes()).hexdigest(),
        "sha256_label": hashlib.sha256((root / label).read_bytes()).hexdigest(),
    }


def write_manifest(root: Path, *records: dict[str, str]) -> None:
    (root / "manifest.json").write_text(json.dumps({"schema": 1, "splits": {"val": records}}))


@pytest.fixture
def root(tmp_path: Path, save: Save, rng: np.random.Generator) -> Path:
    for name in ("00001", "00000"):
        save(tmp_path / f"val/images/{name}.png", rng.integers(0, 256, (2, 3, 3), np.uint8))
        save(tmp_path / f"val/labels/{name}.png", np.array([[0, 10, 11]] * 2, np.uint8))
    write_manifest(tmp_path, record(tmp_path, "00000"), record(tmp_path, "00001"))
    return tmp_path


def test_labels_are_camvids(root: Path) -> None:
    data = streets.load(root, "val")
    assert data.labels == camvid.LABELS
    assert [item.name for item in data.items] == ["00000", "00001"]
    label = data[0].label
    assert label is not None
    assert label[0].tolist() == [0, 10, 255]


def test_a_folder_without_manifest_will_do(root: Path) -> None:
    (root / "manifest.json").unlink()
    assert len(streets.load(root, "val")) == 2


def test_a_split_the_manifest_does_not_list_will_do(root: Path) -> None:
    shutil.copytree(root / "val", root / "train")
    assert len(streets.load(root, "train")) == 2


@pytest.mark.parametrize("file", ["val/images/00000.png", "val/labels/00001.png"])
def test_a_changed_file_is_refused(root: Path, file: str) -> None:
    (root / file).write_bytes((root / file).read_bytes() + b"\0")
    with pytest.raises(DataError, match=f"{file}: is not the file that the manifest lists"):
        streets.load(root, "val")


def test_a_missing_and_an_extra_file_are_refused(root: Path, save: Save) -> None:
    save(root / "val/images/00002.png", np.zeros((2, 3, 3), np.uint8))
    save(root / "val/labels/00002.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match=r"00002\.png: is not in the manifest"):
        streets.load(root, "val")
    for kind in ("images", "labels"):
        (root / f"val/{kind}/00002.png").unlink()
        (root / f"val/{kind}/00000.png").unlink()
    with pytest.raises(DataError, match=r"00000\.png: is missing"):
        streets.load(root, "val")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "val/../../x.png"])
def test_manifest_paths_stay_inside(root: Path, path: str) -> None:
    write_manifest(root, {**record(root, "00000"), "image": path}, record(root, "00001"))
    with pytest.raises(DataError, match="points outside the data set's folder"):
        streets.load(root, "val")


@pytest.mark.parametrize("text", ["", "[]", '{"splits": {"val": [{}]}}'], ids=["empty", "list", "no-keys"])
def test_a_broken_manifest_is_refused(root: Path, text: str) -> None:
    (root / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: not a manifest") as err:
        streets.load(root, "val")
    assert "\n" not in str(err.value)


def test_training_scenes_must_be_rendered(root: Path) -> None:
    with pytest.raises(DataError, match="render-streets"):
        streets.load(root, "train")
    with pytest.raises(DataError, match="no split 'test'"):
        streets.load(root, "test")


def test_the_embedded_set_needs_its_manifest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(root, root / "spec/calib_data/streets")
    monkeypatch.setattr(streets, "spec_root", lambda: root / "spec")
    place = root / "spec/calib_data/streets"
    assert len(streets.load(place, "val")) == 2
    (place / "manifest.json").unlink()
    with pytest.raises(DataError, match="manifest is missing"):
        streets.load(place, "val")


@pytest.mark.parametrize("split", ["calib", "val"])
def test_embedded_split(split: str) -> None:
    data = streets.load(EMBEDDED, split)
    assert len(data) >= 16
    sample = data[0]
    assert sample.image.shape == (360, 480, 3)
    assert sample.label is not None


def test_embedded_validation_holds_every_class() -> None:
    seen: set[int] = set()
    for sample in streets.load(EMBEDDED, "val"):
        assert sample.label is not None
        seen |= {int(i) for i in np.unique(sample.label)}
    assert seen - {255} == set(range(11))


def test_embedded_calibration_is_not_validated_on() -> None:
    calibration, validation = (streets.load(EMBEDDED, split) for split in ("calib", "val"))
    prints = [{fingerprint(s.pixels(i)) for i in range(len(s))} for s in (calibration, validation)]
    assert not prints[0] & prints[1]
    assert [len(held) for held in prints] == [len(calibration), len(validation)]
