"""From how a tensor's values lie to the range that its grid represents, by one of several methods.

A grid has so many levels over its range and one of them is 0, so every range is judged as the grid that will
be made of it: stretched to hold 0, and both ends moved by the rounding of the zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.quantize.histogram import Spread

Method = Literal["minmax", "percentile", "mse", "entropy"]
Range = tuple[float, float]
Losses = NDArray[np.float64]

METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse", "entropy")
_SHARES = np.concatenate([np.linspace(1.0, 0.5, 33), 0.5 * 0.5 ** (np.arange(1, 17) / 4)])
"""Of an end of the extremes, that are tried: fine steps to a half, coarse ones to a thirty-second."""
_TURNS = 4
"""How often each end is tried anew while the other stands."""
_EMPTY = 1e-9
"""Mass of a level that nothing falls on, beside all of 1."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The kind of grid that activations get."""

    bits: int
    symmetric: bool = False

    @property
    def steps(self) -> int:
        """Steps from the lowest to the highest level."""
        return (1 << self.bits) - 1

    def ends(self, low: Losses, high: Losses) -> tuple[Losses, Losses]:
        """Step and lowest level of grids that represent ranges, as real numbers."""
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        if self.symmetric:
            high = np.maximum(high, -low)
            low = -high
        step = np.where(high > low, (high - low) / self.steps, 1.0)
        return step, np.rint(low / step) * step


EIGHT_BITS = Levels(8)


def choose(spread: Spread, method: Method, *, percentile: float, levels: Levels) -> Range:
    """Find the range of one tensor.

    ``minmax`` holds every value; ``percentile`` leaves (100 - percentile) / 2 percent out on either side;
    ``mse`` has the least squared error after rounding and clipping; ``entropy`` loses the least information,
    as Kullback and Leibler measure it, of what the sample says.
    """
    if method == "minmax" or spread.high <= spread.low:
        return spread.low, spread.high
    if method == "percentile":
        return _percentile(spread, percentile)
    return _search(spread, levels, squared_errors if method == "mse" else divergences)


def squared_errors(spread: Spread, low: Losses, high: Losses, levels: Levels) -> Losses:
    """The mean squared error of a sample on the grids of ranges (K,): rounding, and clipping beyond the ends.

    Where bins are wider than a step, values are taken to lie evenly between two levels.
    """
    x, counts = spread.filled()
    step, first = (part[:, None] for part in levels.ends(low, high))
    last = first + step * levels.steps
    kept = np.clip(x, first, last)
    rounded = np.rint((kept - first) / step) * step + first
    fine = (step <= spread.width) & (kept == x)
    errors = np.where(fine, step**2 / 12, (rounded - x) ** 2)
    found: Losses = errors @ counts / counts.sum()
    return found


def divergences(spread: Spread, low: Losses, high: Losses, levels: Levels) -> Losses:
    """The Kullback-Leibler divergence of a sample from what the grids of ranges (K,) make of it.

    Each level spreads what falls on it evenly over the bins that fall on it and are not empty; what is cut
    off has next to no mass in what is made, so clipping costs as well as coarse levels do. Where bins are no
    finer than levels, only clipping is seen. What is next to 0 does not count: every grid has that level, and
    the zeros of a ReLU would outweigh all else.

    Source of the idea: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017), for magnitudes on 128 levels;
    here both ends move, on as many levels as the grid has.
    """
    x, counts = spread.filled()
    others = np.abs(x) > spread.width
    if not others.any():
        return np.zeros(len(low))
    x, mass = x[others], counts[others] / counts[others].sum()
    step, first = levels.ends(low, high)
    found = np.empty(len(step))
    for index in range(len(step)):
        place = np.rint((x - first[index]) / step[index])
        inside = (place >= 0) & (place <= levels.steps)
        if not inside.any():
            found[index] = np.inf
            continue
        level = np.clip(place, 0, levels.steps).astype(np.int64)
        sums = np.bincount(level[inside], mass[inside], levels.steps + 1)
        bins = np.bincount(level[inside], minlength=levels.steps + 1)
        made = np.where(inside, sums[level] / np.maximum(bins[level], 1), 0.0)
        made = np.maximum(made / made.sum(), _EMPTY)
        found[index] = float((mass * np.log(mass / made)).sum())
    return found


_Judge = Callable[[Spread, Losses, Losses, Levels], Losses]


def _search(spread: Spread, levels: Levels, judge: _Judge) -> Range:
    """Move one end at a time towards 0, to where the loss is least; of equals the widest."""
    low, high = min(spread.low, 0.0), max(spread.high, 0.0)
    best = low, high
    for _ in range(_TURNS):
        before = best
        if high > 0:
            tried = high * _SHARES
            losses = judge(spread, np.full_like(tried, best[0]), tried, levels)
            best = best[0], float(tried[int(losses.argmin())])
        if low < 0:
            tried = low * _SHARES
            losses = judge(spread, tried, np.full_like(tried, best[1]), levels)
            best = float(tried[int(losses.argmin())]), best[1]
        if best == before:
            break
    return max(best[0], spread.low), min(best[1], spread.high)


def _percentile(spread: Spread, percentile: float) -> Range:
    low, high = spread.span
    cut = (1 - percentile / 100) / 2 * int(spread.counts.sum())
    below, above = np.cumsum(spread.counts), np.cumsum(spread.counts[::-1])
    narrow_low = low + spread.width * int(np.searchsorted(below, cut, side="right"))
    narrow_high = high - spread.width * int(np.searchsorted(above, cut, side="right"))
    narrow = max(narrow_low, spread.low), min(narrow_high, spread.high)
    return narrow if narrow[0] < narrow[1] else (spread.low, spread.high)


def best_elsewhere(first: Spread, second: Spread, *, percentile: float, levels: Levels) -> Method:
    """The method whose ranges of each half of the images have the least squared error on the other half."""
    losses: Mapping[Method, float] = {
        method: _loss(first, second, method, percentile, levels)
        + _loss(second, first, method, percentile, levels)
        for method in METHODS
    }
    return min(METHODS, key=lambda method: losses[method])


def _loss(fitted: Spread, held_out: Spread, method: Method, percentile: float, levels: Levels) -> float:
    low, high = choose(fitted, method, percentile=percentile, levels=levels)
    return float(squared_errors(held_out, np.array([low]), np.array([high]), levels)[0])


def in_float32(found: Range) -> tuple[np.float32, np.float32]:
    """A range as the rest of the project takes it."""
    return np.float32(found[0]), np.float32(found[1])
