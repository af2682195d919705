"""A built network on the validation images: on all of them, or on as many as make the verdict certain.

random order -> 16 images -> is the verdict of all certain? -> 32 -> ... -> all
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.accuracy import early
from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.backends.joined_runs import joined, outputs_by_variant, variants
from mosaic_deploy.backends.protocol import Run
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.reference_maps import Maps, Reference, class_maps, pairs
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace


@dataclass(frozen=True, slots=True)
class Ran:
    """What a built network gave."""

    indices: tuple[int, ...]
    """Of the images that it ran on, in ascending order."""
    run: Run
    maps: Mapping[str, Maps]
    """Of each variant, in the order of ``indices``, the main one last."""
    first: tuple[int, NDArray[Any]]
    """The index of an image, and the main variant's output on it."""
    reports: Mapping[str, ParityReport]
    """Of each variant, where the verdict was certain before all images were run; else none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the candidate is run on and compared with."""

    images: tuple[ValidationImage, ...]
    reference: Reference
    contract: Contract
    """That of the candidate."""
    labels: LabelSpace
    dataset: str
    limits: Limits

    def know(self) -> early.Whole | None:
        """What an early verdict needs, or None where all images are to be run."""
        if not early.looks(len(self.images)):
            return None
        return early.know(
            pairs(self.images, self.reference.maps, self.reference.maps),
            labels=self.labels,
            dataset=self.dataset,
            limits=self.limits,
            groups=[image.group for image in self.images],
            tied=self.reference.tied,
        )


def run_candidate(
    run: Callable[[Sequence[int]], Run], against: Comparison, folder: Path, *, whole: early.Whole | None
) -> Ran:
    """Run all images, or with ``whole`` a random sample that grows until every variant's verdict is certain.

    Args:
        run: runs the images of these indices.
        against: what there is to run on and to compare with.
        folder: where class maps go, in a folder for each part; the outputs themselves are removed.
        whole: what an early verdict needs; None to run all images.
    """
    count = len(against.images)
    order = tuple(range(count)) if whole is None else early.order(count)
    looks = () if whole is None else early.looks(count)
    runs: list[Run] = []
    parts: list[dict[str, Maps]] = []
    chunks: list[tuple[int, ...]] = []
    first: tuple[int, NDArray[Any]] | None = None
    indices: tuple[int, ...] = ()
    maps: Mapping[str, Maps] = {}
    begun = 0
    for number, spreads in (*looks, (count, None)):
        chunk = tuple(sorted(order[begun:number]))
        found = run(chunk)
        if first is None:
            first = chunk[0], np.load(found.outputs[0], allow_pickle=False)
        images = [against.images[index] for index in chunk]
        outputs = outputs_by_variant(found, variants([found]))
        parts.append(
            {
                name: class_maps(against.contract, paths, images, folder / str(begun) / name)
                for name, paths in outputs.items()
            }
        )
        runs.append(found)
        chunks.append(chunk)
        begun = number
        indices, maps = _together(runs, parts, chunks)
        if whole is not None and spreads is not None:
            reports = _looked(whole, against, indices, maps, spreads)
            if reports:
                return Ran(indices, joined(runs), maps, first, reports)
    assert first is not None
    return Ran(indices, joined(runs), maps, first, {})


def _together(
    runs: Sequence[Run], parts: Sequence[Mapping[str, Maps]], chunks: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], dict[str, Maps]]:
    """The images so far in ascending order, and each variant's class maps of them."""
    names = variants(runs)
    places: dict[str, dict[int, Path]] = {name: {} for name in names}
    for run, part, chunk in zip(runs, parts, chunks, strict=True):
        for name in names:
            own = part[name] if name in part else part[run.alike.get(name, run.name)]
            places[name] |= dict(zip(chunk, own.paths, strict=True))
    indices = tuple(sorted(index for chunk in chunks for index in chunk))
    return indices, {name: Maps(tuple(found[i] for i in indices)) for name, found in places.items()}


def _looked(
    whole: early.Whole,
    against: Comparison,
    indices: tuple[int, ...],
    maps: Mapping[str, Maps],
    spreads: float,
) -> dict[str, ParityReport]:
    """Of each variant the report, where the verdicts of all are certain; else nothing."""
    images, reference = [against.images[index] for index in indices], against.reference.only(indices).maps
    found = {}
    for name, candidate in maps.items():
        report = whole.look(partial(pairs, images, reference, candidate), indices, spreads=spreads)
        if report is None:
            return {}
        found[name] = report
    return found
