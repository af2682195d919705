from pathlib import Path

import numpy as np
from PIL import Image

from mosaic_deploy.artifact.preview import Row, draw, overlay
from mosaic_deploy.specs.labels import LabelSpace

LABELS = LabelSpace(("sky", "road"), ((0, 0, 255), (255, 0, 0)))


def test_colours_follow_the_ids() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    ids = np.array([[0, 1], [1, 255]], np.uint8)
    seen = overlay(image, ids, LABELS)
    assert seen[0, 0].tolist() == [40, 40, 193]
    assert seen[0, 1].tolist() == [193, 40, 40]
    assert seen[1, 1].tolist() == [100, 100, 100]


def test_differences_are_drawn(tmp_path: Path) -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    same = np.zeros((40, 60), np.uint8)
    other = same.copy()
    other[:, 30:] = 1
    rows = [Row(image, same, same), Row(image, same, other)]
    draw(rows, LABELS, tmp_path / "a.png", candidate="dsp")
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    magenta = (sheet == (255, 0, 255)).all(axis=-1)
    first, second = np.array_split(magenta[22:-26], 2)
    assert not first.any()
    assert 0.1 < second.mean() < 0.15
