"""Not a pixel of a class map may differ from the plain way: resize all scores, then compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosaic_deploy.specs import resized_classes
from mosaic_deploy.specs.resample import Bilinear, Floats, Size, resize_scores
from mosaic_deploy.specs.resized_classes import best_classes

SAMPLINGS = ("half_pixel", "align_corners", "asymmetric")
sides = st.integers(1, 9)


def plainly(scores: Floats, size: Size, sampling: Bilinear) -> NDArray[np.uint8]:
    best: NDArray[np.uint8] = resize_scores(scores, size, sampling=sampling).argmax(axis=0).astype(np.uint8)
    return best


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(1, 6),
    sides=st.tuples(sides, sides),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    sampling=st.sampled_from(SAMPLINGS),
    kind=st.sampled_from(["any", "ties", "near ties", "regions"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_plain_way(
    count: int, sides: Size, size: Size, sampling: Bilinear, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(count, *sides)).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "near ties":  # a few units in the last place apart
        scores = (1 + np.round(scores) * np.float32(2.0**-23)).astype(np.float32)
    elif kind == "regions":
        scores[0] += 4 * (np.arange(sides[1]) > sides[1] // 2)
    assert np.array_equal(best_classes(scores, size, sampling=sampling), plainly(scores, size, sampling))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("pixels", [1, 40, 97])
def test_stripes_join_to_the_whole(sampling: Bilinear, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resized_classes, "_PIXELS", pixels)
    scores = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    for size in ((23, 11), (5, 7), (5, 30), (2, 3)):
        assert np.array_equal(best_classes(scores, size, sampling=sampling), plainly(scores, size, sampling))


def test_a_class_that_wins_at_no_corner_can_win_between_them() -> None:
    scores = np.array([[[3, 0]], [[0, 3]], [[2, 2]]], np.float32)
    assert best_classes(scores, (1, 8)).tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


def test_scores_in_any_order_of_memory_are_taken() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 7, 4)).astype(np.float32).transpose(2, 0, 1)
    assert np.array_equal(best_classes(scores, (20, 28)), plainly(scores, (20, 28), "half_pixel"))
