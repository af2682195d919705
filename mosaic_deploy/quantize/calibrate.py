"""The range of every activation over the calibration images: minmax, percentile or entropy.

Whatever shows a network's activations can be collected from. ONNX Runtime's own calibrators are not used:
they hold the activations of all images at once (gigabytes), and their entropy search, with 128 bins for 128
levels, has nothing to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.workers.progress import OnProgress

Floats = NDArray[np.float32]
Ranges = dict[str, tuple[np.float32, np.float32]]
"""Tensor name -> smallest and largest value to represent."""
Activations = Callable[[Path], Iterator[tuple[str, Floats]]]
"""Runs the network on an image (.npy) and yields its input and every float tensor, by name."""
Method = Literal["minmax", "percentile", "entropy"]

_BINS = 2048
_LEVELS = 128  # of magnitudes, half of an 8-bit grid; all of it where no value is negative
_STRIDE = 8  # bins between two thresholds that the entropy search tries
_SAMPLE = 1 << 16  # values of a tensor and image that enter its histogram


@dataclass(frozen=True, slots=True)
class Calibrator:
    """How ranges are found."""

    method: Method
    percentile: float
    """Share of values inside the range, in percent, for ``percentile``."""
    threads: int
    axes: tuple[int, ...] | None = None
    """Order of the files' axes in which the graph takes them; None for their own."""


def collect(
    activations: Activations,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> Ranges:
    """Find ranges that hold every value (``minmax``), or all but the outliers, of at least one image.

    Raises ``ValueError`` if a tensor holds NaN or infinity.
    """
    rounds = 1 if how.method == "minmax" else 2
    ranges: Ranges = {}
    for index, path in enumerate(images):
        for name, values in activations(path):
            low, high = values.min(), values.max()
            if not np.isfinite(low) or not np.isfinite(high):
                raise ValueError(f"tensor '{name}' holds NaN or infinity on calibration image {path.name}")
            known = ranges.get(name, (low, high))
            ranges[name] = (min(known[0], low), max(known[1], high))
        on_progress((index + 1) / len(images) / rounds, "ranges")
    if how.method == "minmax":
        return ranges
    counts = {name: np.zeros(_BINS, np.int64) for name in ranges}
    for index, path in enumerate(images):
        for name, values in activations(path):
            counts[name] += _histogram(values, ranges[name], fold=how.method == "entropy")
        on_progress((1 + (index + 1) / len(images)) / rounds, "histograms")
    return {name: _narrow(counts[name], ranges[name], how) for name in ranges}


def sample(values: Floats) -> Floats:
    """Take a regular sample of a tensor, flat, that meets every row, column and channel alike.

    A step that has a factor in common with the length of an axis would skip some of its places always.
    """
    step = max(1, values.size // _SAMPLE)
    while any(math.gcd(step, length) > 1 for length in values.shape):
        step += 1
    taken: Floats = values.reshape(-1)[::step]
    return taken


def _histogram(values: Floats, span: tuple[np.float32, np.float32], *, fold: bool) -> NDArray[np.int64]:
    """Count a sample of the values; of their magnitudes if ``fold``.

    In float64, for between two neighbouring numbers of float32 there is no place for so many bins.
    """
    flat = sample(values).astype(np.float64)
    if fold:
        top = max(abs(float(span[0])), abs(float(span[1])))
        return np.histogram(np.abs(flat), _BINS, (0.0, top or 1.0))[0]
    low, high = float(span[0]), float(span[1])
    return np.histogram(flat, _BINS, (low, high if high > low else low + 1.0))[0]


def _narrow(
    counts: NDArray[np.int64], span: tuple[np.float32, np.float32], how: Calibrator
) -> tuple[np.float32, np.float32]:
    low, high = float(span[0]), float(span[1])
    if how.method == "percentile":
        cut = (1 - how.percentile / 100) / 2 * int(counts.sum())
        below, above = np.cumsum(counts), np.cumsum(counts[::-1])
        width = (high - low) / _BINS
        narrow_low = low + width * int(np.searchsorted(below, cut, side="right"))
        narrow_high = high - width * int(np.searchsorted(above, cut, side="right"))
        if narrow_low < narrow_high:
            low, high = narrow_low, narrow_high
    else:
        levels = _LEVELS if low < 0 else 2 * _LEVELS
        top = max(abs(low), abs(high)) * least_divergence(counts, levels=levels) / _BINS
        low, high = max(low, -top), min(high, top)
    return np.float32(low), np.float32(high)


def least_divergence(counts: NDArray[np.int64], *, levels: int) -> int:
    """How many of the bins of a histogram of magnitudes to keep, by TensorRT's method.

    Clips the histogram at a threshold, merges what is left into ``levels``, and measures the
    Kullback-Leibler divergence between both; returns the threshold with the least. The first bin is
    taken for as full as the second: the zeros that a ReLU makes would outweigh everything else.

    Source: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017); the first bin, pytorch-quantization.
    """
    bins = counts.astype(np.float64)
    bins[0] = bins[1]
    kept_best, best = len(bins), np.inf
    for kept in range(levels, len(bins) + 1, _STRIDE):
        inside = bins[:kept]
        if not inside.any():
            continue
        level = np.arange(kept) * levels // kept
        filled = (inside > 0).astype(np.float64)
        sums = np.bincount(level, inside, levels)
        sizes = np.bincount(level, filled, levels)
        merged = filled * (sums / np.maximum(sizes, 1))[level]
        clipped = inside.copy()
        clipped[-1] += bins[kept:].sum()
        p, q = clipped / clipped.sum(), merged / merged.sum()
        used = p > 0
        divergence = float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())
        if divergence < best:
            kept_best, best = kept, divergence
    return kept_best
