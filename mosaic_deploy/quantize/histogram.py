"""What is kept of a tensor's values over images: the extremes of all of them, and a histogram of a sample.

    first pass:   values -> Extents      second pass:   values, Extents -> Histograms

Both count: minima, maxima and integers. So parts can be gathered in any order, in any groups and by any
number of processes, and merged come to the very same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ranges = dict[str, tuple[np.float32, np.float32]]
"""Tensor name -> smallest and largest value to represent."""

BINS = 2048
_SAMPLE = 1 << 16  # values of a tensor and image that enter its histogram


@final
@dataclass(frozen=True, slots=True)
class Extents:
    """The smallest and largest value of each tensor so far."""

    ranges: Ranges = field(default_factory=dict)

    def add(self, name: str, values: Floats) -> None:
        """Take in a tensor of one image; raises ``ValueError`` if it holds NaN or infinity."""
        low, high = values.min(), values.max()
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(f"tensor '{name}' holds NaN or infinity")
        self._widen(name, low, high)

    def merge(self, other: Extents) -> None:
        """Take in what others have seen."""
        for name, (low, high) in other.ranges.items():
            self._widen(name, low, high)

    def _widen(self, name: str, low: np.float32, high: np.float32) -> None:
        known = self.ranges.get(name, (low, high))
        zero = np.float32(0)  # turns -0 into 0: which of the two is the least depends on the order
        self.ranges[name] = (min(known[0], low) + zero, max(known[1], high) + zero)


@final
class Histograms:
    """Counts of a sample of each tensor's values, in ``BINS`` equal bins over spans that are given."""

    def __init__(self, spans: Mapping[str, tuple[np.float32, np.float32]]) -> None:
        """Start empty; ``spans`` hold every value that will be added."""
        self._spans = {name: _stretched(float(low), float(high)) for name, (low, high) in spans.items()}
        self.counts: dict[str, NDArray[np.int64]] = {name: np.zeros(BINS, np.int64) for name in spans}

    def add(self, name: str, values: Floats) -> None:
        """Take in a tensor of one image."""
        low, high = self._spans[name]
        # In float64, for between two neighbouring numbers of float32 there is no place for so many bins.
        places = (sample(values).astype(np.float64) - low) * (BINS / (high - low))
        np.clip(places, 0, BINS - 1, out=places)
        self.counts[name] += np.bincount(places.astype(np.int64), minlength=BINS)

    def merge(self, other: Histograms) -> None:
        """Take in what others have counted over the same spans."""
        for name, counts in other.counts.items():
            self.counts[name] += counts


def merged(parts: Iterable[Extents]) -> Extents:
    """All of several parts."""
    whole = Extents()
    for part in parts:
        whole.merge(part)
    return whole


def spreads(extents: Sequence[Extents], counted: Sequence[Histograms]) -> dict[str, list[Spread]]:
    """How the values of each tensor lie in each part of the images; a part may lack one."""
    found: dict[str, list[Spread]] = {}
    for name, span in merged(extents).ranges.items():
        ends = (float(span[0]), float(span[1]))
        found[name] = [
            Spread(float(part.ranges[name][0]), float(part.ranges[name][1]), ends, counts.counts[name])
            for part, counts in zip(extents, counted, strict=True)
            if name in part.ranges
        ]
    return found


def joined(parts: Sequence[Spread]) -> Spread:
    """Several parts of one tensor's values as one; at least one."""
    counts = np.sum([part.counts for part in parts], axis=0)
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    return Spread(low, high, parts[0].span, counts)


@dataclass(frozen=True, slots=True)
class Spread:
    """How the values of one tensor lie."""

    low: float
    high: float
    """The extremes of all values."""
    span: tuple[float, float]
    """What the histogram goes over; it holds the extremes."""
    counts: NDArray[np.int64]
    """(BINS,) of a sample."""

    @property
    def width(self) -> float:
        """Of a bin."""
        low, high = _stretched(*self.span)
        return (high - low) / len(self.counts)

    def filled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The middles of the bins that are not empty, no further out than the extremes, and their counts."""
        places = np.flatnonzero(self.counts)
        middles = self.span[0] + (places + 0.5) * self.width  # the span is that of all parts
        return np.clip(middles, self.low, self.high), self.counts[places].astype(np.float64)

    def outside(self, low: float, high: float) -> float:
        """The share of the sample whose bins lie beyond a range, in [0, 1]."""
        middles, counts = self.filled()
        total = counts.sum()
        return float(counts[(middles < low) | (middles > high)].sum() / total) if total else 0.0


def sample(values: Floats) -> Floats:
    """Take a regular sample of a tensor, flat, that meets every row, column and channel alike.

    A step that has a factor in common with the length of an axis would skip some of its places always.
    """
    step = max(1, values.size // _SAMPLE)
    while any(math.gcd(step, length) > 1 for length in values.shape):
        step += 1
    taken: Floats = values.reshape(-1)[::step]
    return taken


def _stretched(low: float, high: float) -> tuple[float, float]:
    return float(low), float(high) if high > low else float(low) + max(1.0, abs(float(low)))
