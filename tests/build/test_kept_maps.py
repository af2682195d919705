"""Maps that are kept come back as they were, for the very same alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.build import kept_maps
from mosaic_deploy.build.kept_maps import KeptMaps
from mosaic_deploy.build.reference_maps import Maps

SIZES = [(3, 4), (5, 6)]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptMaps:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "fed.npy").write_bytes(b"an image")
    return KeptMaps.of({"weights": "a"}, [tmp_path / "fed.npy"])


def some(folder: Path) -> Maps:
    paths = []
    for index, size in enumerate(SIZES):
        paths.append(folder / f"some{index}.npy")
        np.save(paths[-1], np.full(size, index + 1, np.uint8))
    return Maps(tuple(paths))


def test_what_is_kept_comes_back(kept: KeptMaps, tmp_path: Path) -> None:
    assert kept.read(SIZES, tmp_path / "none") is None
    kept.write(some(tmp_path))
    found = kept.read(SIZES, tmp_path / "found")
    assert found is not None
    assert [(m.shape, m.max()) for m in (found[0], found[1])] == [((3, 4), 1), ((5, 6), 2)]
    assert kept.read([(3, 4), (6, 5)], tmp_path / "other") is None
    assert kept.read([*SIZES, (1, 1)], tmp_path / "more") is None


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_what_is_damaged_is_not_there(kept: KeptMaps, tmp_path: Path, damage: bytes) -> None:
    kept.write(some(tmp_path))
    kept.place.write_bytes(damage)
    assert kept.read(SIZES, tmp_path / "found") is None


def test_another_network_or_image_is_another_place(kept: KeptMaps, tmp_path: Path) -> None:
    fed = tmp_path / "fed.npy"
    assert KeptMaps.of({"weights": "a"}, [fed]) == kept
    assert KeptMaps.of({"weights": "b"}, [fed]) != kept
    fed.write_bytes(b"another image")
    assert KeptMaps.of({"weights": "a"}, [fed]) != kept


def test_the_oldest_go(kept: KeptMaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_maps, "MOST", 1)
    for name in "ab":
        KeptMaps.of({"weights": name}, [tmp_path / "fed.npy"]).write(some(tmp_path))
    assert len(list(kept.place.parent.iterdir())) == 1
