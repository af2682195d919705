"""The interval is SciPy's, from the same resamples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mosaic_deploy.accuracy.bootstrap import RESAMPLES, Statistic, Values, interval, resampled


def mean_of(sample: Values) -> Statistic:
    def mean(times: NDArray[Any]) -> Values:
        return np.asarray(times @ sample / times.sum(axis=1))

    return mean


@pytest.mark.parametrize("power", [1, 3], ids=["even", "skewed"])
def test_it_is_scipys_from_the_same_resamples(power: int) -> None:
    sample = np.random.default_rng(4).normal(1, 0.3, 20) ** power
    drawn = SimpleNamespace(bootstrap_distribution=resampled(mean_of(sample), 20))
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=0, bootstrap_result=drawn, method="BCa")
    ends = theirs.confidence_interval
    assert interval(mean_of(sample), 20) == pytest.approx((ends.low, ends.high), rel=1e-9)


@pytest.mark.slow
def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(40):
        ends = interval(mean_of(rng.normal(0, 1, 40)), 40)
        assert ends is not None
        covered += ends[0] <= 0 <= ends[1]
    assert 34 <= covered < 40


def test_a_constant_has_an_interval_without_width_and_nothing_has_none() -> None:
    assert interval(lambda times: np.full(len(times), 0.25), 7) == (0.25, 0.25)
    assert interval(lambda times: np.full(len(times), np.nan), 7) is None
    assert RESAMPLES >= 999
