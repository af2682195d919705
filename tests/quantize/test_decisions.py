"""What counts as a decision of a network, and what of it changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.quantize.decisions import WHOLE, Decision, changed, decide, picture, threshold_of


def image(rows: int, columns: int, *, layout: str, colour: int = 127) -> NDArray[Any]:
    """8x8 pixels, of which ``rows`` x ``columns`` are a picture."""
    pixels = np.full((1, 3, 8, 8), colour, np.uint8)
    pixels[..., :rows, :columns] = np.random.default_rng(0).integers(128, 256, (1, 3, rows, columns))
    return pixels if layout == "NCHW" else np.moveaxis(pixels, 1, -1)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("rows", "columns"), [(6, 8), (8, 3), (8, 8), (1, 8)])
def test_padding_is_no_picture(rows: int, columns: int, layout: str) -> None:
    assert picture(image(rows, columns, layout=layout)) == (rows / 8, columns / 8)


def test_a_plain_image_is_all_picture() -> None:
    assert picture(np.full((1, 3, 8, 8), 127, np.uint8)) == WHOLE
    assert picture(np.zeros((1, 10), np.float32)) == WHOLE


def test_flips_are_weighed_by_the_margin() -> None:
    ours = decide(np.array([[[[2.0, 0.0]], [[1.0, 9.0]]]], np.float32), channels_last=False)
    theirs = decide(np.array([[[[0.0, 0.0]], [[1.0, 9.0]]]], np.float32), channels_last=False)
    assert changed([ours], [theirs]) == (0.5, 0.1)
    assert changed([ours], [ours]) == (0.0, 0.0)


def test_a_lone_score_is_parted_by_its_threshold() -> None:
    """Shares out of a sigmoid are all above 0: only the threshold tells what they say."""
    ours = decide(np.array([[[[0.9, 0.1]]]], np.float32), channels_last=False, threshold=0.5)
    theirs = decide(np.array([[[[0.4, 0.0]]]], np.float32), channels_last=False, threshold=0.5)
    assert ours.ids.tolist() == [[1, 0]]
    assert ours.margin == pytest.approx(np.full((1, 2), 0.4))
    assert changed([ours], [theirs]) == (0.5, 0.5)
    assert threshold_of({"threshold": 0.5}) == 0.5
    assert threshold_of({"threshold": None}) == threshold_of({}) == 0.0


@pytest.mark.parametrize("kind", ["scores", "scores, channels last", "ids", "ids with channels"])
def test_what_changes_in_the_padding_does_not_count(kind: str) -> None:
    scores = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    spoilt, worse = scores.copy(), scores.copy()
    spoilt[:, :, 3:] *= -1
    worse[:, :, :1] *= -1
    last = kind.endswith("last")

    def said(values: NDArray[Any], *, part: tuple[float, float]) -> Decision:
        if kind.startswith("ids"):
            values = values.argmax(axis=1)[:, None] if kind.endswith("channels") else values.argmax(axis=1)
        return decide(np.moveaxis(values, 1, -1) if last else values, channels_last=last, part=part)

    part = (0.75, 1.0)
    assert changed([said(scores, part=part)], [said(spoilt, part=part)]) == (0.0, 0.0)
    assert changed([said(scores, part=WHOLE)], [said(spoilt, part=WHOLE)])[0] == 0.25
    assert changed([said(scores, part=part)], [said(worse, part=part)])[0] == pytest.approx(1 / 3)
