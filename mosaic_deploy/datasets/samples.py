"""What every data set is made of: samples, the meaning of their labels, and a lazy list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, final

import numpy as np

from mosaic_deploy.datasets.images import IMAGE_SUFFIXES, orientation, read_image, read_label
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels

Decode = Callable[[Pixels, Path], Pixels]
"""Turns an (H, W) raw label map and the path it came from into ids; raises ``DataError`` for unknown ones."""

Fit = Callable[[Pixels, Pixels | None], tuple[Pixels, Pixels | None]]
"""Brings an image and its ids to the size that a protocol evaluates at."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its labels."""

    name: str
    image: Pixels
    """(H, W, 3) RGB."""
    label: Pixels | None
    """(H, W) class ids, 255 where nothing is to be learned or scored; None for an image without labels."""


@dataclass(frozen=True, slots=True)
class Item:
    """Where one sample lies."""

    name: str
    image: Path
    label: Path | None
    group: str = ""
    """Samples of the same group are alike, frames of one second of film say; empty for one on its own."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the files of a data set come from, for a person who does not have them yet."""

    holds: str
    """What its folder must hold, in words."""
    origin: str
    """Who gives it out."""
    environment: str | None = None
    """The environment variable that names the folder unless the command line does."""
    embedded: str | None = None
    """The folder below :func:`mosaic_deploy.specs.root.spec_root` that the project brings along."""


class Dataset(Protocol):
    """A list of samples, read one at a time."""

    @property
    def name(self) -> str:
        """The registered name, ``camvid`` say."""

    @property
    def labels(self) -> LabelSpace:
        """What the label ids mean."""

    def __len__(self) -> int:
        """Count the samples."""

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises ``DataError`` where its files are unusable."""


@final
@dataclass(frozen=True, slots=True)
class FileDataset:
    """Samples that lie in files; ``decode`` turns a raw label map into ids (255 = ignore)."""

    name: str
    labels: LabelSpace
    """Without classes for a folder of images that states none."""
    items: tuple[Item, ...]
    decode: Decode
    fit: Fit | None = None
    """Applied to every sample last; None leaves it at its own size."""
    upright: bool = False
    """Turn images as their EXIF orientation says: right for phone photos, wrong for the published sets."""
    note: str = ""
    """A sentence that a report must repeat about these samples; empty if there is nothing to say."""
    stated_by: tuple[Path, ...] = ()
    """Files that say what the ids mean, beside those of the samples."""
    colours: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    """RGB colour -> raw id, for label maps in colours; empty where only ids are taken."""

    @property
    def labelled(self) -> bool:
        """Whether there are labels, for all samples or for none."""
        return bool(self.items) and all(item.label is not None for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index, self.pixels(index))

    def pixels(self, index: int) -> Pixels:
        """Decode one image as its file holds it: (H, W, 3) RGB; raises ``DataError`` where it cannot be."""
        return read_image(self.items[index].image, upright=self.upright)

    def sample(self, index: int, image: Pixels) -> Sample:
        """Put a decoded image together with its label, both at the size that the protocol evaluates at."""
        item = self.items[index]
        label = None if item.label is None else self._read_label(item, item.label, image)
        if self.fit is not None:
            image, label = self.fit(image, label)
        return Sample(item.name, image, label)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def take(self, images: int | None) -> FileDataset:
        """Keep ``images`` samples, spread evenly over the whole, so that a few represent all.

        None, or more than there are, keeps them all. Raises ``UsageError`` for less than 1.
        """
        if images is not None and images < 1:
            raise UsageError(f"{images} images of {self.name}: at least 1 is needed")
        if images is None or images >= len(self.items):
            return self
        picks = np.linspace(0, len(self.items) - 1, images).round().astype(int)
        return replace(self, items=tuple(self.items[i] for i in picks))

    def only(self, indices: Sequence[int]) -> FileDataset:
        """Keep these samples."""
        return replace(self, items=tuple(self.items[i] for i in indices))

    def read_as(self, labels: LabelSpace) -> FileDataset:
        """Let a network's classes and colours say what its own files do not.

        Classes count where the data set has none and its labels are to be read, colours where it states none
        and they tell the classes apart.
        """
        colours = {colour: index for index, colour in enumerate(labels.palette)}
        apart = len(colours) == len(labels.classes)
        told = self
        if self.labelled and not self.labels.classes:
            cure = ": the network's card names no such class"
            decode = ids_up_to(len(labels.classes), ignore=(IGNORE,), cure=cure)
            told = replace(self, labels=labels, decode=decode)
        takes = told.upright and told.labels.classes == labels.classes and not told.colours
        return replace(told, colours=colours) if takes and apart else told

    @property
    def turned(self) -> int:
        """How many images are turned or mirrored as their EXIF orientation says; their headers are read."""
        return sum(orientation(item.image) != 1 for item in self.items) if self.upright else 0

    def _turned(self, item: Item, raw: Pixels, image: Pixels) -> str:
        """Why sizes differ, where that is because of the EXIF orientation."""
        if raw.shape != image.shape[1::-1] or orientation(item.image) == 1:
            return ""
        return (
            " once turned as its EXIF orientation says" if self.upright else " without its EXIF orientation"
        )

    def _read_label(self, item: Item, path: Path, image: Pixels) -> Pixels:
        raw = read_label(path, colours=self.colours)
        if raw.shape != image.shape[:2]:
            raise DataError(
                f"{path}: labels are {raw.shape[1]}x{raw.shape[0]} but the image {item.image.name} "
                f"is {image.shape[1]}x{image.shape[0]} (width x height){self._turned(item, raw, image)}: "
                "make them the same size"
            )
        return self.decode(raw, path)


def ids_up_to(classes: int, *, ignore: Sequence[int], cure: str = "") -> Decode:
    """Make a decoder for label files that hold the ids themselves.

    Ids below ``classes`` stay, those in ``ignore`` (0..255) become 255, any other raises ``DataError``.
    """
    return ids_by_table({i: i for i in range(classes)} | dict.fromkeys(ignore, IGNORE), cure=cure)


def ids_by_table(ids: dict[int, int], *, cure: str = "") -> Decode:
    """Make a decoder out of raw id -> id (255 = ignore); a raw id that is not there raises ``DataError``.

    ``cure`` is what its message ends in: what a person may do about such an id.
    """
    table = np.full(256, IGNORE, np.uint8)
    known = np.zeros(256, bool)
    for raw, wanted in ids.items():
        table[raw], known[raw] = wanted, True
    kept = sorted(raw for raw, wanted in ids.items() if wanted != IGNORE)
    ignored = sorted(raw for raw, wanted in ids.items() if wanted == IGNORE)

    def decode(raw: Pixels, path: Path) -> Pixels:
        present = np.flatnonzero(np.bincount(raw.ravel(), minlength=256))
        strange = present[~known[present]]
        if strange.size:
            raise DataError(
                f"{path}: holds the unknown class ids {spans(strange.tolist())}; "
                f"this data set has {spans(kept)} and ignores {spans(ignored)}{cure}"
            )
        return table[raw]

    return decode


def spans(ids: Sequence[int]) -> str:
    """Write sorted ids as ``0-10, 255``; ``none`` if there are none."""
    ends: list[tuple[int, int]] = []
    for i in ids:
        if ends and ends[-1][1] == i - 1:
            ends[-1] = (ends[-1][0], i)
        else:
            ends.append((i, i))
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ends) or "none"


def list_images(folder: Path) -> tuple[Path, ...]:
    """The images of a folder, not of those below it, sorted by name; hidden files are no images.

    Raises ``DataError`` for a folder that is missing, unreadable or without images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as err:
        raise DataError(f"{folder}: cannot be listed ({err})") from err
    visible = tuple(p for p in found if not p.name.startswith("."))
    if not visible:
        raise DataError(f"{folder}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return visible


def pair_files(images: Path, labels: Path | None) -> tuple[Item, ...]:
    """List ``images/NAME.*`` with ``labels/NAME.png``, sorted by name; without ``labels`` for None.

    Raises ``DataError`` for a missing or empty folder, a name used twice, and an image without its label.
    """
    found = list_images(images)
    if labels is not None and not labels.is_dir():
        raise DataError(f"{labels}: no such folder of label maps")
    items: dict[str, Item] = {}
    for path in found:
        if path.stem in items:
            raise DataError(f"{path}: {items[path.stem].image.name} has the same name; keep one")
        label = None if labels is None else labels / f"{path.stem}.png"
        if label is not None and not label.is_file():
            raise DataError(f"{path}: its label map {label} is missing")
        items[path.stem] = Item(path.stem, path, label)
    return tuple(items.values())


__all__ = [
    "IMAGE_SUFFIXES",
    "Dataset",
    "Decode",
    "FileDataset",
    "Fit",
    "Home",
    "Item",
    "Sample",
    "ids_by_table",
    "ids_up_to",
    "list_images",
    "pair_files",
    "read_image",
    "read_label",
    "spans",
]
