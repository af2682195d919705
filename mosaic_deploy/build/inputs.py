"""Images as the network's inputs, in files; each image and each label is decoded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mosaic_deploy.backends.protocol import Layout
from mosaic_deploy.datasets.leak import fingerprint, require_disjoint
from mosaic_deploy.datasets.samples import FileDataset, Item, Sample
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.workers.progress import OnProgress

_FEEDING = ("layout", "dtype", "mean", "scale", "colour")
"""What a contract says of how images become inputs, of those that go to the same network."""
SHOWN = 3
"""Images that are kept for a person to look at."""


@dataclass(frozen=True, slots=True)
class ValidationImage:
    """What parity needs of one image once its pixels are the network's input."""

    size: tuple[int, int]
    """Height and width that class maps are compared at."""
    label: Path | None
    """``.npy`` (H, W) uint8 class ids; None for an image without labels."""
    pixels: Path | None = None
    """``.npy`` (H, W, 3) RGB of the few that are shown to a person."""
    group: str = ""
    """Of images that are alike; see ``datasets.samples.Item``."""

    def read_label(self) -> Pixels | None:
        """The class ids, 255 where nothing is scored."""
        return None if self.label is None else _load(self.label)

    def read_pixels(self) -> Pixels | None:
        """The image, if it is one of those that are shown."""
        return None if self.pixels is None else _load(self.pixels)


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images of all builds, as ``Contract.prepare`` makes them, in the layout of the graph."""

    calibrations: Mapping[int, tuple[Path, ...]]
    """By the number of images."""
    validation: tuple[Path, ...]
    images: tuple[ValidationImage, ...]
    """Of the validation images, in the same order."""
    originals: tuple[Path, ...]
    """The validation images as the file takes them, of which the graph was made."""

    def only(self, indices: Sequence[int]) -> Inputs:
        """These validation images."""
        validation, images, originals = (
            tuple(values[index] for index in indices)
            for values in (self.validation, self.images, self.originals)
        )
        return replace(self, validation=validation, images=images, originals=originals)  # type: ignore[arg-type]  # each stays what it was


def prepare_inputs(
    contract: Contract,
    own: Contract,
    calibrations: Sequence[FileDataset],
    validation: FileDataset,
    folder: Path,
    *,
    on_progress: OnProgress,
) -> Inputs:
    """Decode every image of the builds once, and keep what they need of it in ``folder``.

    ``contract`` says what the graph takes, ``own`` what the file takes that it was made of.

    Raises ``DataError`` for a file that cannot be used, and for images that stand in both sets.
    """
    folder.mkdir()
    shown = set(np.linspace(0, len(validation) - 1, SHOWN).round().astype(int).tolist())
    total = len({item for dataset in (validation, *calibrations) for item in dataset.items})
    alike = all(getattr(contract, name) == getattr(own, name) for name in _FEEDING)
    paths: dict[Item, Path] = {}
    prints: dict[Item, bytes] = {}

    def decode(dataset: FileDataset, index: int) -> Sample:
        item, pixels = dataset.items[index], dataset.pixels(index)
        paths[item], prints[item] = folder / f"{len(paths):05d}.npy", fingerprint(pixels)
        sample = dataset.sample(index, pixels)
        np.save(paths[item], contract.prepare(sample.image), allow_pickle=False)
        on_progress(len(paths) / total, item.name)
        return sample

    images, originals = [], []
    for index, item in enumerate(validation.items):
        sample = decode(validation, index)
        originals.append(paths[item] if alike else _save_as(own, sample, paths[item]))
        kept = _keep(paths[item], sample, show=index in shown)
        images.append(replace(kept, group=item.group or item.name))
    for dataset in calibrations:
        for index, item in enumerate(dataset.items):
            if item not in paths:
                decode(dataset, index)
        require_disjoint(dataset, validation, prints)
    return Inputs(
        calibrations={len(d): tuple(paths[item] for item in d.items) for d in calibrations},
        validation=tuple(paths[item] for item in validation.items),
        images=tuple(images),
        originals=tuple(originals),
    )


def _save_as(own: Contract, sample: Sample, path: Path) -> Path:
    place = path.with_stem(f"{path.stem}-original")
    np.save(place, own.prepare(sample.image), allow_pickle=False)
    return place


def _keep(path: Path, sample: Sample, *, show: bool) -> ValidationImage:
    label = None if sample.label is None else _save(path.with_stem(f"{path.stem}-label"), sample.label)
    pixels = _save(path.with_stem(f"{path.stem}-pixels"), sample.image) if show else None
    height, width = sample.image.shape[:2]
    return ValidationImage((height, width), label, pixels)


def _save(path: Path, values: Pixels) -> Path:
    np.save(path, values, allow_pickle=False)
    return path


def _load(path: Path) -> Pixels:
    values: Pixels = np.load(path, allow_pickle=False)
    return values


def reorder_axes(paths: Iterable[Path], folder: Path, *, have: Layout, want: Layout) -> tuple[Path, ...]:
    """The same inputs with their axes in another order; the paths themselves where it is the same one."""
    if have == want:
        return tuple(paths)
    folder.mkdir()
    order = (0, 2, 3, 1) if want == "NHWC" else (0, 3, 1, 2)
    turned = []
    for path in paths:
        values = np.load(path, allow_pickle=False)
        turned.append(folder / path.name)
        np.save(turned[-1], np.ascontiguousarray(values.transpose(order)), allow_pickle=False)
    return tuple(turned)
