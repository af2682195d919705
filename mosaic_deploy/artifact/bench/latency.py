"""Times of many runs, taken in rounds, and the ratio of two such sets with its uncertainty.

A round is one process; what differs between processes (where memory landed, what else the machine did)
differs between rounds, so runs of one round are alike and a hundred of them are no hundred experiments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS, _CHUNK = 2000, 100
_LEVEL = (2.5, 97.5)
_FEWEST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Latencies:
    """Wall-clock seconds of each run after the warm-up, by rounds with as many runs each."""

    rounds: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(rounds, runs)."""
        return np.asarray(self.rounds, np.float64)

    @property
    def median_s(self) -> float:
        """Of all runs together."""
        return float(np.median(self.seconds))

    @property
    def p90_s(self) -> float:
        """Nine runs of ten took no longer."""
        return float(np.percentile(self.seconds, 90))

    @property
    def least_s(self) -> float:
        """Of the fastest run."""
        return float(self.seconds.min())

    @property
    def spread(self) -> float:
        """90th percentile over median: 1 on a machine that does nothing else."""
        return self.p90_s / self.median_s


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one takes as another."""

    value: float
    """Median over median."""
    interval: tuple[float, float] | None
    """95 % confidence interval; None for fewer than three rounds."""

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.interval[0]:.2f}-{self.interval[1]:.2f})"

    def to_json(self) -> dict[str, object]:
        """The ratio as JSON's types."""
        return {"ratio": self.value, "interval": None if self.interval is None else list(self.interval)}


def ratio(ours: Latencies, theirs: Latencies, *, rng: np.random.Generator) -> Ratio:
    """Median of ``ours`` over median of ``theirs``, timed in the same rounds.

    The interval is a percentile bootstrap on both levels: rounds are drawn with replacement, then the runs
    in each drawn round (hierarchical data: Davison and Hinkley, Bootstrap Methods and their Application,
    1997, section 3.8; why processes and not runs are the unit: Kalibera and Jones, arXiv:2007.10899). A
    drawn round counts for both sides, since what slowed the machine down then slowed both.
    """
    first, second = ours.seconds, theirs.seconds
    value = ours.median_s / theirs.median_s
    if len(first) < _FEWEST_ROUNDS:
        return Ratio(value, None)
    drawn = np.concatenate(list(_resampled(first, second, rng)))
    low, high = np.percentile(drawn, _LEVEL)
    return Ratio(value, (float(low), float(high)))


def _resampled(
    first: NDArray[np.float64], second: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """(_CHUNK,) ratios of medians at a time, as many chunks as make ``_DRAWS``."""
    rounds = len(first)
    for _ in range(_DRAWS // _CHUNK):
        picked = rng.integers(rounds, size=(_CHUNK, rounds))
        medians = []
        for side in (first, second):
            runs = rng.integers(side.shape[1], size=(_CHUNK, rounds, side.shape[1]))
            values = side[picked[..., None], runs]
            medians.append(np.median(values.reshape(_CHUNK, -1), axis=1))
        yield medians[0] / medians[1]


__all__ = ["Latencies", "Ratio", "ratio"]
