"""A person's own folder: labelled or not, with splits or without, classes with colours or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mosaic_deploy.datasets import folder, open_data
from mosaic_deploy.errors import DataError, SpecError
from mosaic_deploy.specs.labels import LabelSpace

Save = Callable[..., Path]

TWO = '[[classes]]\nname = "a"\n[[classes]]\nname = "b"\n'
CLASSES = "road 128 64 128\ntraffic light\nsky: 70,130,180\n"


@pytest.fixture
def flat(tmp_path: Path, save: Save) -> Path:
    for name in ("b", "a"):
        save(tmp_path / f"images/{name}.jpg", np.zeros((2, 3, 3), np.uint8))
    return tmp_path


@pytest.fixture
def labelled(flat: Path, save: Save) -> Path:
    for name in ("b", "a"):
        save(flat / f"labels/{name}.png", np.array([[0, 1, 2]] * 2, np.uint8))
    (flat / "classes.txt").write_text(CLASSES)
    return flat


def test_images_alone_will_do(flat: Path) -> None:
    data = open_data(f"folder:{flat}", split="val")
    assert [item.name for item in data.items] == ["a", "b"]
    assert not data.labelled
    assert data.labels.classes == ()
    assert data[0].label is None


def test_labels_with_their_classes(labelled: Path) -> None:
    data = folder.load(labelled, "val")
    assert data.labelled
    assert data.labels.classes == ("road", "traffic light", "sky")
    assert data.labels.palette[0] == (128, 64, 128)
    assert data.labels.palette[2] == (70, 130, 180)
    assert data.labels.palette[1] not in data.labels.palette[::2]
    label = data[0].label
    assert label is not None
    assert label[0].tolist() == [0, 1, 2]


def test_labels_without_classes_are_refused(labelled: Path) -> None:
    (labelled / "classes.txt").unlink()
    data = folder.load(labelled, "val")
    with pytest.raises(DataError, match=r"label maps need .*classes\.txt to say what their ids mean"):
        data[0]


NETWORK = LabelSpace(("road", "traffic light", "sky"), ((128, 64, 128), (9, 9, 9), (70, 130, 180)))


def test_a_network_says_what_no_file_says(labelled: Path, save: Save) -> None:
    (labelled / "classes.txt").unlink()
    save(labelled / "labels/b.png", np.array([[(70, 130, 180), (9, 9, 9), (128, 64, 128)]] * 2, np.uint8))
    data = folder.load(labelled, "val").read_as(NETWORK)
    assert data.labels == NETWORK
    for index, row in enumerate(([0, 1, 2], [2, 1, 0])):
        label = data[index].label
        assert label is not None
        assert label.tolist() == [row] * 2


def test_a_network_that_has_fewer_classes_is_named(labelled: Path) -> None:
    (labelled / "classes.txt").unlink()
    two = LabelSpace(NETWORK.classes[:2], NETWORK.palette[:2])
    with pytest.raises(DataError, match=r"unknown class ids 2; .*the network's card names no such class"):
        folder.load(labelled, "val").read_as(two)[0]


@pytest.mark.parametrize(
    "text",
    [
        "road 128 64 128\ntraffic light 9 9 9\nsky 70 130 180",
        "road,128,64,128\ntraffic light, 9, 9, 9\nsky:70,130,180",
        "road (128, 64, 128)\ntraffic light (9,9,9)\nsky (70, 130, 180)",
        "road\t128\t64\t128\ntraffic light\t9\t9\t9\nsky\t70\t130\t180",
        "name,r,g,b\nroad,128,64,128\ntraffic light,9,9,9\nsky,70,130,180",
    ],
    ids=["blanks", "commas", "brackets", "tabs", "table"],
)
def test_labels_in_the_colours_of_the_classes(labelled: Path, save: Save, text: str) -> None:
    (labelled / "classes.txt").write_text(text)
    save(labelled / "labels/a.png", np.array([[(70, 130, 180), (9, 9, 9), (128, 64, 128)]] * 2, np.uint8))
    label = folder.load(labelled, "val")[0].label
    assert label is not None
    assert label.tolist() == [[2, 1, 0]] * 2


def test_a_colour_that_is_no_class_s_is_named_with_the_way_out(labelled: Path, save: Save) -> None:
    pixels = np.array([[(70, 130, 180), (1, 2, 3), (1, 2, 3)]] * 2, np.uint8)
    save(labelled / "labels/a.png", pixels)
    data = folder.load(labelled, "val")
    with pytest.raises(DataError, match=r"4 pixels have the colour 1 2 3, .*classes\.txt \(name R G B\)"):
        data[0]
    (labelled / "classes.toml").write_text(
        "ignore_colours = [[1, 2, 3]]\n" + TWO.replace('"a"', '"a"\ncolour = [70, 130, 180]')
    )
    label = folder.load(labelled, "val")[0].label
    assert label is not None
    assert label.tolist() == [[0, 255, 255]] * 2


def test_labels_in_colours_without_stated_colours(labelled: Path, save: Save) -> None:
    (labelled / "classes.txt").write_text("road\ntraffic light\nsky\n")
    save(labelled / "labels/a.png", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(DataError, match=r"mode RGB: .*each class's colour in classes\.txt"):
        folder.load(labelled, "val")[0]


def test_two_classes_of_one_colour(labelled: Path) -> None:
    (labelled / "classes.txt").write_text("road 1 2 3\nsky 1 2 3\n")
    with pytest.raises(DataError, match="'road' and 'sky' have the same colour, 1 2 3"):
        folder.load(labelled, "val")


def test_an_unknown_id_names_the_cure(labelled: Path, save: Save) -> None:
    save(labelled / "labels/a.png", np.full((2, 3), 11, np.uint8))
    with pytest.raises(DataError, match=r"unknown class ids 11; .*name them in .*classes\.txt, or"):
        folder.load(labelled, "val")[0]


def test_toml_says_more(labelled: Path, save: Save) -> None:
    (labelled / "classes.toml").write_text(
        'ignore = [9]\nunscored = [0]\n[[classes]]\nname = "other"\n'
        '[[classes]]\nname = "road"\ncolour = [1, 2, 3]\n[[classes]]\nname = "sky"\n'
    )
    save(labelled / "labels/a.png", np.array([[0, 9, 255]] * 2, np.uint8))
    data = folder.load(labelled, "val")
    assert data.labels.classes == ("other", "road", "sky")
    assert data.labels.palette[1] == (1, 2, 3)
    assert data.labels.scored == (1, 2)
    label = data[0].label
    assert label is not None
    assert label[0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("road\n\nsky\n", "line 2 names no class"),
        ("", "names 0 classes"),
        ("road\n", "names 1 classes"),
        ("road\nroad 1 2 3\n", "'road' is listed twice"),
        ("road 256 0 0\nsky\n", "three numbers from 0 to 255"),
        ("".join(f"c{i}\n" for i in range(256)), "names 256 classes"),
    ],
    ids=["gap", "empty", "one", "twice", "colour", "many"],
)
def test_wrong_classes_txt(labelled: Path, text: str, match: str) -> None:
    (labelled / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=match) as err:
        folder.load(labelled, "val")
    assert str(err.value).startswith(str(labelled / "classes.txt"))


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("color=[1,2,3]", SpecError, r"unknown key 'classes\.1\.color' \(did you mean 'colour'"),
        ("colour=[1,2,300]", SpecError, r"classes\.1\.colour\.2"),
        ("[[clases]]", SpecError, r"unknown key 'clases' \(did you mean 'classes'"),
        ("[[", SpecError, "not valid TOML"),
    ],
    ids=["typo-inside", "colour", "typo", "no-toml"],
)
def test_wrong_classes_toml(labelled: Path, text: str, error: type[Exception], match: str) -> None:
    (labelled / "classes.toml").write_text(f"{TWO}{text}\n")
    with pytest.raises(error, match=match) as err:
        folder.load(labelled, "val")
    assert str(err.value).startswith(str(labelled / "classes.toml"))


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("unscored=[2]", DataError, "unscored holds 2, ids are 0 to 1"),
        ("ignore=[300]", SpecError, r"ignore\.0"),
    ],
    ids=["unscored", "ignore"],
)
def test_wrong_ids(labelled: Path, text: str, error: type[Exception], match: str) -> None:
    (labelled / "classes.toml").write_text(f"{text}\n{TWO}")
    with pytest.raises(error, match=match):
        folder.load(labelled, "val")


def test_splits_have_folders_of_their_own(flat: Path, save: Save) -> None:
    save(flat / "calib/images/c.png", np.zeros((2, 3, 3), np.uint8))
    save(flat / "val/images/v.png", np.zeros((2, 3, 3), np.uint8))
    assert [item.name for item in folder.load(flat, "calib").items] == ["c"]
    assert [item.name for item in folder.load(flat, "val").items] == ["v"]
    assert [item.name for item in folder.load(flat, "train").items] == ["a", "b"]


def test_training_images_calibrate(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "train/images/t.png", np.zeros((2, 3, 3), np.uint8))
    assert [item.name for item in folder.load(tmp_path, "calib").items] == ["t"]
    with pytest.raises(DataError, match="must hold images/, or val/images/"):
        folder.load(tmp_path, "val")


def test_phone_photos_stand_upright(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "images/a.jpg", exif=exif)
    data = folder.load(tmp_path, "val")
    assert data[0].image.shape == (3, 2, 3)
    assert data.turned == 1
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "images/b.jpg")
    assert folder.load(tmp_path, "val").turned == 1


def test_a_label_drawn_on_an_unturned_photo_is_told_why_it_does_not_fit(labelled: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(labelled / "images/a.jpg", exif=exif)
    with pytest.raises(DataError, match=r"labels are 3x2 but .* 2x3 .*once turned as its EXIF"):
        folder.load(labelled, "val")[0]


def test_empty_folder_and_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold images/"):
        folder.load(tmp_path, "val")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        folder.load(tmp_path, "val")
    with pytest.raises(DataError, match="no split 'test'"):
        folder.load(tmp_path, "test")
