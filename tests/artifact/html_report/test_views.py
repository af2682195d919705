from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mosaic_deploy.artifact.html_report.views import (
    BROKEN,
    INDEX,
    MENDED,
    MOVED,
    Figures,
    choose,
    compare,
    difference,
    parse_index,
    write_views,
)
from mosaic_deploy.specs.labels import LabelSpace, Pixels

LABELS = LabelSpace(("sky", "road", "car"), ((0, 0, 255), (255, 0, 0), (0, 255, 0)))
TRUTH = np.array([[0, 0, 1, 255]], np.uint8)
OURS = np.array([[0, 0, 0, 0]], np.uint8)
THEIRS = np.array([[1, 0, 1, 2]], np.uint8)


def test_an_image_is_counted_as_parity_counts_it() -> None:
    found = compare((TRUTH, OURS, THEIRS), LABELS)
    assert found.reference == pytest.approx((2 / 3 + 0) / 2)
    assert found.candidate == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found.agreement == pytest.approx(1 / 3)
    assert compare((None, OURS, THEIRS), LABELS) == Figures(None, None, 0.25)
    nothing = np.full_like(TRUTH, 255)
    assert compare((nothing, OURS, THEIRS), LABELS) == Figures(None, None, None)


def test_an_id_that_is_no_class_is_wrong() -> None:
    assert compare((TRUTH, OURS, np.full_like(OURS, 200)), LABELS).candidate == 0


def test_what_became_of_each_pixel() -> None:
    truth = np.array([[0, 0, 1, 2, 255]], np.uint8)
    ours = np.array([[0, 0, 0, 0, 0]], np.uint8)
    theirs = np.array([[1, 0, 1, 1, 1]], np.uint8)
    assert difference((truth, ours, theirs)).tolist() == [[BROKEN, 0, MENDED, MOVED, 0]]
    assert difference((None, ours, theirs)).tolist() == [[BROKEN, 0, BROKEN, BROKEN, BROKEN]]


def test_the_chosen_lose_most_middling_and_least() -> None:
    drops = (0.1, 0.5, -0.2, 0.3, 0.2)
    figures = [Figures(0.5, 0.5 - drop, 0.9) for drop in drops]
    assert choose(figures) == (("worst", 1), ("median", 4), ("best", 2))
    assert choose(figures[:2]) == (("worst", 1), ("best", 0))
    assert choose(figures[:1]) == (("worst", 0),)
    assert choose([Figures(None, None, None)]) == ()


def test_pictures_are_written_once_each_and_read_back(tmp_path: Path) -> None:
    maps: list[tuple[Pixels | None, Pixels, Pixels]] = [(TRUTH, OURS, OURS), (TRUTH, OURS, THEIRS)]
    asked: list[int] = []

    def image(index: int) -> tuple[str, Pixels]:
        asked.append(index)
        return f"{index}.png", np.full((1, 4, 3), 100, np.uint8)

    files = write_views(tmp_path, lambda: maps, image, LABELS)
    assert sorted(asked) == [0, 1]
    assert len(files) == 11
    assert all((tmp_path / file.path).is_file() for file in files)
    worst, best = parse_index((tmp_path / INDEX).read_bytes())
    assert (worst.role, best.role, worst.labelled) == ("worst", "best", True)
    assert best.classes == (
        ("sky", LABELS.palette[0]),
        ("road", LABELS.palette[1]),
        ("car", LABELS.palette[2]),
    )
    truth = np.asarray(Image.open(tmp_path / "views" / worst.layers["truth"]).convert("RGBA"))
    assert truth[0, 0].tolist() == [0, 0, 255, 255]
    assert truth[0, 3, 3] == 0


def test_an_image_that_went_away_is_left_out(tmp_path: Path) -> None:
    files = write_views(tmp_path, lambda: [(None, OURS, THEIRS)], lambda _: None, LABELS)
    assert [file.path for file in files] == [INDEX]
    assert parse_index((tmp_path / INDEX).read_bytes()) == ()


def test_an_index_cannot_name_files_elsewhere() -> None:
    view = (
        '{"images": [{"name": "a", "role": "worst", "labelled": false, "width": 1, "height": 1,'
        '"classes": [],'
        '"figures": {"reference": null, "candidate": null, "agreement": 1.0},'
        '"layers": {"input": "%s"}}], "schema": 1}'
    )
    assert len(parse_index((view % "worst-input.webp").encode())) == 1
    with pytest.raises(ValueError, match="pattern"):
        parse_index((view % "../worst-input.webp").encode())
