"""A 95 % confidence interval by resampling: bias-corrected and accelerated (BCa).

Efron, "Better bootstrap confidence intervals" (1987): the percentiles that are read from the resampled
values are moved by how far their median lies from the estimate, and by how its spread changes with it, which
the estimates with each row left out show. ``scipy.stats.bootstrap`` computes the same from the same
resamples (a test compares them); a build's own process runs on the core's packages alone, so it is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Statistic = Callable[[NDArray[Any]], Values]
"""Takes (draws, rows) of how often each row counts, gives (draws,) values, NaN where there is none."""

LEVEL = 0.95
RESAMPLES, _CHUNK = 9999, 1000
_SEED = 0
_NORMAL = NormalDist()


def interval(statistic: Statistic, rows: int) -> tuple[float, float] | None:
    """The interval of a statistic over ``rows`` rows that are drawn with replacement, always the same draws.

    None where no resample has a value.
    """
    values = resampled(statistic, rows)
    values = values[~np.isnan(values)]
    (estimate,) = statistic(np.ones((1, rows)))
    if not values.size or np.isnan(estimate):
        return None
    low, high = np.quantile(values, _percentiles(values, float(estimate), statistic, rows))
    return float(low), float(high)


def resampled(statistic: Statistic, rows: int) -> Values:
    """(RESAMPLES,) values of the statistic on rows drawn with replacement."""
    rng = np.random.default_rng(_SEED)
    share = np.full(rows, 1 / rows)
    sizes = [min(_CHUNK, RESAMPLES - start) for start in range(0, RESAMPLES, _CHUNK)]
    return np.concatenate([statistic(rng.multinomial(rows, share, size=n).astype(float)) for n in sizes])


def _percentiles(values: Values, estimate: float, statistic: Statistic, rows: int) -> list[float]:
    """Which quantiles of the resampled values are the interval's ends; the plain ones where BCa has none."""
    plain = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    left_out = statistic(np.ones((rows, rows)) - np.eye(rows))
    below = float(((values < estimate).mean() + (values <= estimate).mean()) / 2)
    pull = left_out.mean() - left_out
    spread = float((pull**2).sum())
    if not 0 < below < 1 or np.isnan(spread) or spread == 0:
        return plain
    bias = _NORMAL.inv_cdf(below)
    acceleration = float((pull**3).sum()) / (6 * spread**1.5)
    moved = [bias + _NORMAL.inv_cdf(end) for end in plain]
    return [_NORMAL.cdf(bias + way / (1 - acceleration * way)) for way in moved]
