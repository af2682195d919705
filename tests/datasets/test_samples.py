"""Samples: labels fit their images, ids are known, and a few samples represent all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_deploy.datasets.samples import (
    FileDataset,
    Item,
    ids_by_table,
    ids_up_to,
    list_images,
    pair_files,
    spans,
)
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.specs.labels import LabelSpace

Save = Callable[..., Path]

SPACE = LabelSpace(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), unscored=(1,))
HERE = Path("label.png")


def dataset(count: int) -> FileDataset:
    items = tuple(Item(f"{i:03d}", Path(f"{i}.png"), None) for i in range(count))
    return FileDataset("test", SPACE, items, ids_up_to(3, ignore=(255,)))


def test_scored_leaves_out_the_unscored() -> None:
    assert SPACE.scored == (0, 2)


def test_sample_is_read_and_decoded(tmp_path: Path, save: Save) -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    save(tmp_path / "images/a.png", image)
    save(tmp_path / "labels/a.png", np.array([[0, 1, 2, 255, 9]] * 4, np.uint8))
    items = pair_files(tmp_path / "images", tmp_path / "labels")
    found = FileDataset("test", SPACE, items, ids_up_to(3, ignore=(9, 255)))
    assert found.labelled
    (sample,) = list(found)
    assert sample.name == "a"
    assert np.array_equal(sample.image, image)
    assert sample.label is not None
    assert sample.label[0].tolist() == [0, 1, 2, 255, 255]


def test_label_of_another_size_is_refused(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "images/a.png", np.zeros((4, 5, 3), np.uint8))
    label = save(tmp_path / "labels/a.png", np.zeros((5, 4), np.uint8))
    items = pair_files(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(DataError, match=r"labels are 4x5 but the image a\.png is 5x4") as err:
        FileDataset("test", SPACE, items, ids_up_to(3, ignore=(255,)))[0]
    assert str(err.value).startswith(str(label))


def test_unknown_ids_are_named_with_the_file() -> None:
    decode = ids_up_to(3, ignore=(255,))
    with pytest.raises(DataError, match=r"label\.png: holds the unknown class ids 3, 7-8; .* 0-2 .* 255"):
        decode(np.array([[0, 3, 8, 7, 255]], np.uint8), HERE)


def test_table_maps_raw_ids() -> None:
    decode = ids_by_table({7: 0, 8: 1, 0: 255})
    assert decode(np.array([[7, 8, 0]], np.uint8), HERE).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize(
    ("ids", "words"),
    [([], "none"), ([4], "4"), ([0, 1, 2, 9, 11, 12], "0-2, 9, 11-12")],
    ids=["none", "one", "some"],
)
def test_spans(ids: list[int], words: str) -> None:
    assert spans(ids) == words


def test_images_are_sorted_and_hidden_files_skipped(tmp_path: Path, save: Save) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png"):
        save(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "nowhere")


def test_pairs_must_be_complete(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "images/a.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="no such folder of label maps"):
        pair_files(tmp_path / "images", tmp_path / "labels")
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match=r"a\.png: its label map .*labels/a\.png is missing"):
        pair_files(tmp_path / "images", tmp_path / "labels")
    save(tmp_path / "images/a.jpg", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="has the same name; keep one"):
        pair_files(tmp_path / "images", None)


@settings(deadline=None, database=None)
@given(count=st.integers(1, 300), wanted=st.integers(1, 400))
def test_take_is_spread_evenly(count: int, wanted: int) -> None:
    names = [int(item.name) for item in dataset(count).take(wanted).items]
    assert len(names) == min(count, wanted)
    steps = np.diff(names)
    assert (steps >= 1).all()
    assert not steps.size or steps.max() - steps.min() <= 1
    assert wanted == 1 or names[-1] == count - 1


def test_take_none_keeps_all() -> None:
    whole = dataset(5)
    assert whole.take(None).items == whole.items


@pytest.mark.parametrize("wanted", [0, -1])
def test_take_of_none_is_refused(wanted: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        dataset(5).take(wanted)
