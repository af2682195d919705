"""What is said of ranges, on values that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.quantize.audit import audit, growing_parts
from mosaic_deploy.quantize.calibrate import Calibrator
from mosaic_deploy.quantize.histogram import Extents, Histograms, merged, spreads


@pytest.mark.parametrize("count", range(1, 70))
def test_parts_hold_all_and_the_last_half(count: int) -> None:
    sizes = growing_parts(count)
    assert sum(sizes) == count
    assert min(sizes) >= 1
    assert sizes[-1] == count - count // 2
    assert list(sizes) == sorted(sizes)


def gathered(parts: list[NDArray[np.float32]]) -> tuple[list[Extents], list[Histograms]]:
    extents = [Extents() for _ in parts]
    for part, values in zip(extents, parts, strict=True):
        part.add("x", values)
    counted = [Histograms(merged(extents).ranges) for _ in parts]
    for count, values in zip(counted, parts, strict=True):
        count.add("x", values)
    return extents, counted


EVEN = np.linspace(-1, 1, 1000, dtype=np.float32)


def test_alike_images_are_firm_and_one_is_enough() -> None:
    found = audit(spreads(*gathered([EVEN] * 3)), (1, 1, 2), Calibrator("minmax", 99, 1))["x"]
    assert (found.low, found.high, found.unstable, found.subset, found.saturated) == (-1, 1, 0, 1, 0)


def test_an_image_that_alone_reaches_far_is_seen() -> None:
    found = audit(spreads(*gathered([EVEN, EVEN, 3 * EVEN])), (1, 1, 2), Calibrator("minmax", 99, 1))["x"]
    assert found.high == 3
    assert found.unstable == pytest.approx(255 * 2 / 6)
    assert found.subset == 4


def test_what_is_cut_off_is_said() -> None:
    found = audit(spreads(*gathered([EVEN] * 2)), (1, 1), Calibrator("percentile", 90, 1))["x"]
    assert found.saturated == pytest.approx(0.1, abs=0.01)
