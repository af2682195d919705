"""Metrics: counted as written on paper, and as MLPerf's two programs count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosaic_deploy.accuracy.metrics import Averaging, confusion, iou, mean_iou, overlaps

Ids = NDArray[np.uint8]
ADE = tuple(range(1, 32))


def ids(*values: int) -> Ids:
    return np.array(values, np.uint8)


def drawn(data: st.DataObject, values: tuple[int, ...], count: int) -> Ids:
    return np.array(data.draw(st.lists(st.sampled_from(values), min_size=count, max_size=count)), np.uint8)


def test_rows_are_truth() -> None:
    assert confusion(ids(0, 1, 1, 255), ids(0, 0, 1, 1), classes=2).tolist() == [[1, 0], [1, 1]]


def test_what_is_predicted_on_ignored_pixels_does_not_matter() -> None:
    assert confusion(ids(255, 255), ids(7, 255), classes=2).sum() == 0


def test_counts_are_integers_that_float32_could_not_hold() -> None:
    counts = confusion(ids(0, 1), ids(0, 1), classes=2) * (2**24 + 1)
    assert counts.dtype == np.int64
    assert counts.trace() == 2 * (2**24 + 1)


@pytest.mark.parametrize(
    ("truth", "predicted", "match"),
    [
        (ids(0, 1), ids(0), "differ in shape"),
        (ids(2, 0), ids(0, 0), "truth holds the id 2"),
        (ids(0, 0), ids(0, 255), "prediction holds the id 255"),
        (ids(0, 0), np.array([0, -3]), "prediction holds the id -3"),
    ],
    ids=["shape", "truth", "prediction", "negative"],
)
def test_wrong_ids_are_named(truth: NDArray[Any], predicted: NDArray[Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        confusion(truth, predicted, classes=2)


@settings(deadline=None, database=None)
@given(data=st.data(), classes=st.integers(2, 6), count=st.integers(0, 60))
def test_iou_is_intersection_over_union(data: st.DataObject, classes: int, count: int) -> None:
    truth = drawn(data, (*range(classes), 255), count)
    predicted = drawn(data, tuple(range(classes)), count)
    ratios = iou(confusion(truth, predicted, classes=classes), range(classes))
    valid = truth != 255
    for c, ratio in enumerate(ratios):
        a, b = (truth == c) & valid, (predicted == c) & valid
        if (a | b).any():
            assert ratio == (a & b).sum() / (a | b).sum()
        else:
            assert math.isnan(ratio)


def test_overlaps_of_images_add_up() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 3, 50), rng.integers(0, 3, 50)) for _ in range(4)]
    apart = [overlaps(confusion(t, p, classes=3), (0, 2)) for t, p in pairs]
    truth, predicted = (np.concatenate(part) for part in zip(*pairs, strict=True))
    hits, union = overlaps(confusion(truth, predicted, classes=3), (0, 2))
    assert hits.tolist() == np.sum([part[0] for part in apart], axis=0).tolist()
    assert union.tolist() == np.sum([part[1] for part in apart], axis=0).tolist()


@pytest.mark.parametrize(
    ("averaging", "value"),
    [("present", (1 / 2 + 1 / 3) / 2), ("all", (1 / 2 + 1 / 3) / 3), ("with_unscored", (1 / 2 + 1 / 3) / 3)],
    ids=["present", "all", "with_unscored"],
)
def test_ways_of_averaging(averaging: Averaging, value: float) -> None:
    """Ids 1 to 3 are scored, 3 does not occur, and the unscored 0 is predicted where 2 belongs."""
    truth, predicted = ids(1, 1, 2, 2, 255), ids(1, 2, 2, 0, 0)
    counts = confusion(truth, predicted, classes=4)
    assert mean_iou(counts, (1, 2, 3), averaging=averaging) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("averaging", ["present", "all", "with_unscored"])
def test_nothing_scored_is_nan(averaging: Averaging) -> None:
    nothing = confusion(ids(255, 0), ids(1, 1), classes=3)
    assert math.isnan(mean_iou(nothing, (1, 2), averaging=averaging))


def test_default_is_present() -> None:
    counts = confusion(ids(0, 0), ids(0, 0), classes=2)
    assert mean_iou(counts, (0, 1)) == 1.0
    assert mean_iou(counts, (0, 1), averaging="all") == 0.5


def app(truth: Ids, predicted: Ids) -> float:
    """MLPerf's app as the fact sheet has it: per class of 1..31, over 31 whatever occurs."""
    total = 0.0
    for c in ADE:
        scored = (truth >= 1) & (truth <= 31)
        tp = int(((predicted == c) & (truth == c)).sum())
        fp = int(((predicted == c) & (truth != c) & scored).sum())
        fn = int(((truth == c) & (predicted != c)).sum())
        total += tp / (tp + fp + fn) if tp + fp + fn else 0.0
    return total / 31


def script(truth: Ids, predicted: Ids) -> float:
    """MLPerf's Python script as the sheet has it: 32 bins over 1..32, NaN where a union is empty."""
    truth = np.where(truth >= 32, 0, truth)
    predicted = predicted * (truth > 0)
    both = predicted * (predicted == truth)
    bins = [np.histogram(x, bins=32, range=(1, 32))[0] for x in (both, predicted, truth)]
    union = bins[1] + bins[2] - bins[0]
    return float((bins[0][union > 0] / union[union > 0]).mean())


@settings(deadline=None, database=None, max_examples=60)
@given(data=st.data(), kinds=st.integers(2, 32))
def test_mlperfs_programs_agree(data: st.DataObject, kinds: int) -> None:
    raw = drawn(data, (*range(kinds), 32, 150, 255), 80)
    raw[0] = 1
    predicted = drawn(data, tuple(range(kinds)), 80)
    decoded = np.where((raw >= 1) & (raw <= 31), raw, 255)
    counts = confusion(decoded, predicted, classes=32)
    assert mean_iou(counts, ADE, averaging="all") == pytest.approx(app(raw, predicted), abs=1e-12)
    assert mean_iou(counts, ADE) == pytest.approx(script(raw, predicted), abs=1e-12)
