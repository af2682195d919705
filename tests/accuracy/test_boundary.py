"""Boundary IoU against a slow and plain count, and where it says what mIoU does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.accuracy.boundary import Boundary, band, reach
from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels

SPACE = LabelSpace(("sky", "road", "car"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def plain_band(ids: Pixels, distance: int) -> NDArray[np.bool_]:
    found = np.zeros(ids.shape, bool)
    for row, column in np.ndindex(*ids.shape):
        around = ids[
            max(row - distance, 0) : row + distance + 1, max(column - distance, 0) : column + distance + 1
        ]
        found[row, column] = len(set(around[around != IGNORE].tolist())) > 1
    return found


@pytest.mark.parametrize("distance", [1, 2, 3, 6])
def test_the_band_is_where_another_class_is_near(distance: int) -> None:
    rng = np.random.default_rng(distance)
    ids = np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 7), int)).astype(np.uint8)
    ids[rng.random(ids.shape) < 0.1] = IGNORE
    assert np.array_equal(band(ids, distance), plain_band(ids, distance))


def test_neither_the_images_edge_nor_that_of_the_labels_is_a_contour() -> None:
    ids = np.full((20, 30), 1, np.uint8)
    ids[:, 20:] = IGNORE
    assert not band(ids, 3).any()


def test_a_shifted_border_costs_more_on_the_band_than_in_all() -> None:
    truth = np.repeat(np.array([0, 1], np.uint8), 50)[None].repeat(100, 0)
    shifted = np.roll(truth, 1, axis=1)
    shifted[:, 0] = 0
    counted = Boundary(SPACE)
    assert list(counted.watch([(truth, truth, shifted)]))
    ours, theirs = counted.mious()
    distance = reach(truth.shape)
    assert distance == 3
    assert ours == 1.0
    assert theirs == pytest.approx((2 * distance - 2) / 2 / (distance + 1))


def test_without_any_border_there_is_no_figure() -> None:
    flat = np.zeros((8, 8), np.uint8)
    counted = Boundary(SPACE)
    list(counted.watch([(flat, flat, flat)]))
    assert np.isnan(counted.mious()).all()
    assert np.isnan(Boundary(SPACE).mious()).all()
