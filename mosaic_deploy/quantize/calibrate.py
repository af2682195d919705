"""The range of every activation over the calibration images.

Whatever shows a network's activations can be collected from. ONNX Runtime's own calibrators are not used:
they hold the activations of all images at once (gigabytes), and their entropy search, with 128 bins for 128
levels, has nothing to choose from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from mosaic_deploy.quantize.histogram import (
    Extents,
    Floats,
    Histograms,
    Ranges,
    Spread,
    joined,
    merged,
    spreads,
)
from mosaic_deploy.quantize.range_choice import (
    EIGHT_BITS,
    METHODS,
    Levels,
    Method,
    Range,
    best_elsewhere,
    choose,
    in_float32,
)
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

Activations = Callable[[Path], Iterator[tuple[str, Floats]]]
"""Runs the network on an image (.npy) and yields its input and every float tensor, by name."""
CROSS_VALIDATED: Final = "cross-validated"
BEST_SCORES: Final = "best-scores"
PLAIN: Method = "percentile"
"""The default, and what ``best-scores`` is where nothing is tried."""
Choice = Method | Literal["cross-validated"]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """How ranges are found."""

    method: Choice
    percentile: float
    """Share of values inside the range, in percent, for ``percentile``."""
    threads: int
    axes: tuple[int, ...] | None = None
    """Order of the files' axes in which the graph takes them; None for their own."""
    levels: Levels = EIGHT_BITS
    """The kind of grid that the ranges are for."""

    @classmethod
    def of(cls, recipe: JsonObject, threads: int, axes: tuple[int, ...] | None = None) -> Calibrator:
        """As a ``QuantRecipe`` (a dict) of integers says; what only trials tell is the default here."""
        stated, grid = recipe["calibration"], recipe["activations"]
        levels = Levels(grid["bits"], grid["symmetric"])
        method = PLAIN if stated["method"] == BEST_SCORES else stated["method"]
        return cls(method, stated["percentile"], threads, axes, levels)


def collect(
    activations: Activations,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> Ranges:
    """Find a range for each tensor, by the method of ``how``; the order of the images makes no difference.

    Raises ``ValueError`` if a tensor holds NaN or infinity.
    """
    parts = halves(images) if how.method == CROSS_VALIDATED else (tuple(images),)
    extents, counted = _gather(activations, images, parts, on_progress, extremes_alone=how.method == "minmax")
    if how.method == "minmax":
        return merged(extents).ranges
    return {name: in_float32(range_of(found, how)[1]) for name, found in spreads(extents, counted).items()}


def collect_by_method(
    activations: Activations,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> dict[Method, Ranges]:
    """Find what each method gives, all from the same two passes; as ``collect`` else."""
    extents, counted = _gather(activations, images, (tuple(images),), on_progress, extremes_alone=False)
    known = spreads(extents, counted)
    return {
        method: {
            name: in_float32(range_of(found, replace(how, method=method))[1]) for name, found in known.items()
        }
        for method in METHODS
    }


def _gather(
    activations: Activations,
    images: Sequence[Path],
    parts: Sequence[Sequence[Path]],
    on_progress: OnProgress,
    *,
    extremes_alone: bool,
) -> tuple[list[Extents], list[Histograms]]:
    """Extremes and histograms of each part of the images; without histograms where extremes are enough."""
    place = {path: index for index, part in enumerate(parts) for path in part}
    rounds = 1 if extremes_alone else 2
    extents = [Extents() for _ in parts]
    for index, path in enumerate(images):
        for name, values in activations(path):
            try:
                extents[place[path]].add(name, values)
            except ValueError as err:
                raise ValueError(f"{err} on calibration image {path.name}") from err
        on_progress((index + 1) / len(images) / rounds, "ranges")
    if extremes_alone:
        return extents, []
    counted = [Histograms(merged(extents).ranges) for _ in parts]
    for index, path in enumerate(images):
        for name, values in activations(path):
            counted[place[path]].add(name, values)
        on_progress((1 + (index + 1) / len(images)) / rounds, "histograms")
    return extents, counted


def range_of(parts: Sequence[Spread], how: Calibrator) -> tuple[Method, Range]:
    """The method and the range of one tensor, whose values are known by halves of the images.

    Where there is one part alone, nothing can be held out, and ``cross-validated`` is ``minmax``.
    """
    if how.method != CROSS_VALIDATED:
        method: Method = how.method
    elif len(parts) > 1:
        method = best_elsewhere(parts[0], parts[1], percentile=how.percentile, levels=how.levels)
    else:
        method = "minmax"
    return method, choose(joined(parts), method, percentile=how.percentile, levels=how.levels)


def halves(images: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Part images into two halves by what they hold, whatever their names and their order."""
    ranked = sorted(images, key=lambda path: hashlib.blake2b(path.read_bytes(), digest_size=16).digest())
    middle = len(ranked) // 2
    return tuple(ranked[:middle]), tuple(ranked[middle:])
