"""What is kept of values: the same to the bit whatever the order and the grouping."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mosaic_deploy.quantize.histogram import BINS, Extents, Histograms, joined, merged, spreads

FINITE = st.floats(-(2.0**99), 2.0**99, width=32)
IMAGES = st.lists(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=FINITE), min_size=1
)


def gather(groups: list[list[NDArray[np.float32]]]) -> tuple[bytes, bytes, bytes]:
    """The extremes and the counts of a tensor, each group gathered on its own and then merged."""
    extents = []
    for group in groups:
        extents.append(Extents())
        for image in group:
            extents[-1].add("x", image)
    whole = merged(extents)
    total = Histograms(whole.ranges)
    for group in groups:
        part = Histograms(whole.ranges)
        for image in group:
            part.add("x", image)
        total.merge(part)
    low, high = whole.ranges["x"]
    return low.tobytes(), high.tobytes(), total.counts["x"].tobytes()


@settings(max_examples=60, deadline=None)
@given(images=IMAGES, cuts=st.lists(st.integers(0, 9), max_size=4), seed=st.integers(0, 99))
def test_neither_order_nor_groups_change_a_bit(
    images: list[NDArray[np.float32]], cuts: list[int], seed: int
) -> None:
    shuffled = images.copy()
    random.Random(seed).shuffle(shuffled)
    edges = [0, *sorted(min(cut, len(images)) for cut in cuts), len(images)]
    groups = [shuffled[a:b] for a, b in itertools.pairwise(edges)]
    assert gather(groups) == gather([images])


def test_zeros_of_both_signs_are_one() -> None:
    minus, plus = np.full((1, 1), -0.0, np.float32), np.zeros((1, 1), np.float32)
    assert gather([[minus], [plus]]) == gather([[plus], [minus]])


def test_all_values_are_counted_and_parts_add_up() -> None:
    extents = [Extents(), Extents()]
    values = [np.linspace(-1, 0, 100, dtype=np.float32), np.linspace(0, 3, 50, dtype=np.float32)]
    for part, one in zip(extents, values, strict=True):
        part.add("x", one)
    counted = [Histograms(merged(extents).ranges) for _ in extents]
    for count, one in zip(counted, values, strict=True):
        count.add("x", one)
    first, second = spreads(extents, counted)["x"]
    assert (first.low, first.high, second.low, second.high) == (-1, 0, 0, 3)
    both = joined([first, second])
    assert (both.low, both.high, int(both.counts.sum()), len(both.counts)) == (-1, 3, 150, BINS)
    assert both.outside(-2, 4) == 0
    assert both.outside(0.001, 4) == pytest.approx(100 / 150, abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="tensor 'x' holds NaN or infinity"):
        Extents().add("x", np.array([0, value], np.float32))
