"""Pictures of the images on which a device does best, middling and worst, kept in the artifact.

Of each image its pixels and every class map are a file of their own, which the page lays over each other:
no picture holds what another already has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from mosaic_deploy.accuracy.metrics import Counts, confusion, iou
from mosaic_deploy.artifact.store import write_json
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.specs.labels import LabelSpace, Pixels

FOLDER = "views"
INDEX = f"{FOLDER}/index.json"
KIND = "view"
_LONGEST = 640
"""Pixels of a picture's longer side."""
_QUALITY = 80
Role = Literal["worst", "median", "best"]
_ROLES: tuple[Role, ...] = ("worst", "median", "best")
BROKEN, MENDED, MOVED = 1, 2, 3
"""A pixel that was right and is wrong now, the other way round, and one that is wrong in another way."""
CHANGES = ((0, 0, 0), (255, 0, 200), (0, 200, 255), (255, 210, 0))
"""Their colours; the first is of pixels that did not change."""
Maps = tuple[Pixels | None, Pixels, Pixels]
"""Of one image, all (H, W) ids: the truth (255 = not scored) or None, the float network's, the device's."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How both networks do on one image."""

    reference: float | None
    """mIoU over the scored classes that the truth holds, in [0, 1]; None without a truth."""
    candidate: float | None
    agreement: float | None
    """Share of the compared pixels to which both give the same class, in [0, 1]; None of none."""

    @property
    def drop(self) -> float:
        """By what images are ranked: the fall of mIoU, or where that is unknown the share that changed."""
        if self.reference is None or self.candidate is None:
            return 1 - (self.agreement or 0)
        return self.reference - self.candidate


@dataclass(frozen=True, slots=True)
class View:
    """One image as the page shows it."""

    name: str
    role: Role
    figures: Figures
    labelled: bool
    width: Annotated[int, Field(gt=0, le=4096)]
    height: Annotated[int, Field(gt=0, le=4096)]
    layers: Mapping[
        Literal["input", "truth", "float", "target", "difference"],
        Annotated[str, Field(pattern=r"^[a-z]+-[a-z]+\.webp$")],
    ]
    """File names in the folder; without ``truth`` where there are no labels."""
    classes: tuple[tuple[str, tuple[int, int, int]], ...]
    """Name and colour of each class that one of the maps holds."""


@dataclass(frozen=True, slots=True)
class Views:
    """What ``views/index.json`` holds."""

    images: Annotated[tuple[View, ...], Field(max_length=len(_ROLES))]
    schema: Literal[1] = 1


def parse_index(text: bytes) -> tuple[View, ...]:
    """The views that ``views/index.json`` names; raises ``ValueError`` for what is no such file."""
    return _adapter().validate_json(text).images


def compare(maps: Maps, labels: LabelSpace) -> Figures:
    """Count one image; without labels there is agreement alone."""
    truth, ours, theirs = maps
    classes = len(labels.classes)
    scored = np.ones(ours.shape, bool) if truth is None else np.isin(truth, labels.scored)
    pixels = np.count_nonzero(scored)
    if not pixels:
        return Figures(None, None, None)
    agreement = float(np.count_nonzero((ours == theirs) & scored) / pixels)
    if truth is None:
        return Figures(None, None, agreement)

    def mean(ids: Pixels) -> float:
        counts: Counts = confusion(truth, np.minimum(ids, classes), classes=classes + 1)
        held = counts[list(labels.scored)].sum(axis=1) > 0
        return float(np.nanmean(iou(counts, labels.scored)[held]))

    return Figures(mean(ours), mean(theirs), agreement)


def choose(figures: Sequence[Figures]) -> tuple[tuple[Role, int], ...]:
    """The indices of the images that lose most, middling and least; each image once."""
    order = sorted(
        (i for i, f in enumerate(figures) if f.agreement is not None), key=lambda i: -figures[i].drop
    )
    if not order:
        return ()
    places = {"worst": 0, "median": len(order) // 2, "best": len(order) - 1}
    taken: dict[int, Role] = {}
    for role in ("worst", "best", "median") if len(order) > 1 else ("worst",):
        taken.setdefault(order[places[role]], role)
    return tuple(sorted(((role, i) for i, role in taken.items()), key=lambda pair: _ROLES.index(pair[0])))


def write_views(
    folder: Path,
    maps: Callable[[], Iterable[Maps]],
    image: Callable[[int], tuple[str, Pixels] | None],
    labels: LabelSpace,
) -> tuple[File, ...]:
    """Write the pictures into ``folder/views``.

    Args:
        folder: the artifact's.
        maps: the class maps of every image; called twice, to rank the images and to draw the chosen ones.
        image: name and (H, W, 3) RGB pixels of an image by its index; None leaves the image out.
        labels: what the ids mean.

    Returns:
        What was written, relative to the folder; nothing where there is no image.
    """
    chosen = {index: role for role, index in choose([compare(m, labels) for m in maps()])}
    if not chosen:
        return ()
    place = folder / FOLDER
    place.mkdir()
    views = []
    for index, each in enumerate(maps()):
        found = image(index) if index in chosen else None
        if found is not None and found[1].shape[:2] == each[1].shape:
            views.append(_draw(place, chosen[index], *found, each, labels))
    views.sort(key=lambda view: _ROLES.index(view.role))
    write_json(folder / INDEX, _adapter().dump_python(Views(tuple(views)), mode="json"))
    drawn = [f"{FOLDER}/{name}" for view in views for name in view.layers.values()]
    return tuple(File(path, KIND) for path in (*drawn, INDEX))


def _draw(place: Path, role: Role, name: str, pixels: Pixels, maps: Maps, labels: LabelSpace) -> View:
    truth, ours, theirs = maps
    height, width = ours.shape
    shrink = min(1.0, _LONGEST / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    layers = {"input": f"{role}-input.webp"}
    shown = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    shown.save(place / layers["input"], quality=_QUALITY, method=6)
    named = {"truth": truth, "float": ours, "target": theirs, "difference": difference(maps)}
    held: set[int] = set()
    for layer, ids in named.items():
        if ids is None:
            continue
        layers[layer] = f"{role}-{layer}.webp"
        palette = CHANGES if layer == "difference" else labels.palette
        clear = {0} if layer == "difference" else set()
        small = _shrunk(ids, size)
        if layer != "difference":
            held |= set(np.unique(small).tolist())
        _coloured(small, palette, clear).save(place / layers[layer], lossless=True, quality=75, method=4)
    known = sorted(i for i in held if i < len(labels.classes))
    return View(
        name=name,
        role=role,
        figures=compare(maps, labels),
        labelled=truth is not None,
        width=size[0],
        height=size[1],
        layers=layers,  # type: ignore[arg-type]  # the keys above
        classes=tuple((labels.classes[i], labels.palette[i]) for i in known),
    )


def difference(maps: Maps) -> Pixels:
    """(H, W) what became of each pixel: 0 where both give the same class; without labels 1 where not."""
    truth, ours, theirs = maps
    changed = ours != theirs
    if truth is None:
        return np.where(changed, np.uint8(BROKEN), np.uint8(0))
    kinds = np.select([truth == ours, truth == theirs], [BROKEN, MENDED], MOVED)
    return np.where(changed & (truth != 255), kinds, 0).astype(np.uint8)


def _shrunk(ids: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))


def _coloured(ids: Pixels, palette: Sequence[tuple[int, int, int]], clear: set[int]) -> Image.Image:
    """Opaque colours by id; clear where an id has none."""
    table: NDArray[np.uint8] = np.zeros((256, 4), np.uint8)
    for index, colour in enumerate(palette):
        if index not in clear:
            table[index] = (*colour, 255)
    return Image.fromarray(table[ids])


@cache
def _adapter() -> TypeAdapter[Views]:
    return TypeAdapter(Views)
