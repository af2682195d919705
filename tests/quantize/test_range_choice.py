"""Ranges of values that lie in known ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.quantize.histogram import Extents, Histograms, Spread, spreads
from mosaic_deploy.quantize.range_choice import (
    METHODS,
    Levels,
    Method,
    best_elsewhere,
    choose,
    squared_errors,
)


def spread(values: NDArray[Any]) -> Spread:
    x = values.astype(np.float32)[None]
    extents = Extents()
    extents.add("x", x)
    counted = Histograms(extents.ranges)
    counted.add("x", x)
    return spreads([extents], [counted])["x"][0]


def error(values: NDArray[Any], low: float, high: float, levels: Levels) -> float:
    """The mean squared error, computed plainly from the values."""
    low, high = min(low, 0), max(high, 0)
    step = (high - low) / levels.steps
    zero = round(-low / step)
    made = (np.clip(np.rint(values / step) + zero, 0, levels.steps) - zero) * step
    return float(((made - values) ** 2).mean())


RNG = np.random.default_rng(0)
SAMPLES = {
    "normal": RNG.normal(0, 1, 60_000),
    "laplace": RNG.laplace(0, 1, 60_000),
    "relu": np.maximum(RNG.normal(0, 1, 60_000), 0),
    "outlier": np.append(RNG.normal(0, 1, 59_999), 60.0),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_mse_has_less_error_than_all_others(name: str) -> None:
    values, levels = SAMPLES[name], Levels(8)
    ranges = {m: choose(spread(values), m, percentile=99.99, levels=levels) for m in METHODS}
    errors = {m: error(values, *r, levels) for m, r in ranges.items()}
    assert errors["mse"] <= 1.02 * min(errors.values())  # bins are not values
    assert errors["mse"] <= errors["minmax"] * 1.001


@pytest.mark.parametrize("levels", [Levels(8), Levels(8, symmetric=True), Levels(4)], ids=str)
def test_the_error_of_a_histogram_is_that_of_its_values(levels: Levels) -> None:
    values = SAMPLES["normal"]
    lows, highs = np.array([-4.0, -2.0, -1.0]), np.array([4.0, 2.5, 1.0])
    found = squared_errors(spread(values), lows, highs, levels)
    for got, low, high in zip(found, lows, highs, strict=True):
        both = (-max(-low, high), max(-low, high)) if levels.symmetric else (low, high)
        assert got == pytest.approx(error(values, *both, levels), rel=0.05)


def test_sixteen_bits_cut_off_less_than_eight() -> None:
    ends = [choose(spread(SAMPLES["laplace"]), "mse", percentile=99, levels=Levels(bits)) for bits in (8, 16)]
    assert ends[0][1] < ends[1][1]


@pytest.mark.parametrize("method", METHODS)
def test_ranges_stay_within_the_values(method: Method) -> None:
    for values in SAMPLES.values():
        found = spread(values)
        low, high = choose(found, method, percentile=99.9, levels=Levels(8))
        assert found.low <= low < high <= found.high


def test_entropy_keeps_what_no_level_blurs_and_drops_a_far_value() -> None:
    even = np.linspace(0, 1, 60_000)
    assert choose(spread(even), "entropy", percentile=99, levels=Levels(8))[1] == pytest.approx(1, abs=0.01)
    assert choose(spread(SAMPLES["outlier"]), "entropy", percentile=99, levels=Levels(8))[1] < 20


def test_what_one_half_alone_holds_is_not_fitted_to() -> None:
    """The least error of images with a far value is not that of images without: the others decide."""
    usual, odd = SAMPLES["normal"], SAMPLES["outlier"]
    assert best_elsewhere(spread(usual), spread(odd), percentile=99.9, levels=Levels(8)) in METHODS
    wide = RNG.uniform(-1, 1, 60_000)
    assert best_elsewhere(spread(wide), spread(wide * 1.0), percentile=90, levels=Levels(8)) != "percentile"
