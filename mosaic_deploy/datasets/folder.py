"""A person's own images, with labels or without.

A root holds ``images/`` and, if the images are labelled, ``labels/NAME.png`` for each ``images/NAME.*``:
8-bit grey or palette images of class ids, or RGB images in the classes' colours. To keep calibration and
validation apart, ``calib/``, ``val/`` and ``train/`` below the root may each hold an ``images`` and a
``labels`` folder of their own; a split without such a folder uses the root's (``calib``: the training images,
if there are some).

The classes stand in ``classes.txt``, one a line from id 0 on, with or without a colour::

    road  128 64 128
    traffic light

or in ``classes.toml``, which can also say which ids of the label maps, or outputs of the network, to leave
out::

    ignore = [254]        # 255 is always ignored
    ignore_colours = [[224, 224, 192]]  # of label maps in RGB
    unscored = [0]
    [[classes]]
    name = "other"
    [[classes]]
    name = "road"
    colour = [128, 64, 128]

Where nothing states classes or colours, they are those of the network's card. Without labels no classes are
needed: the images can be calibrated on, and parity is measured as agreement.
Images are turned as their EXIF orientation says.
"""

from __future__ import annotations

import colorsys
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mosaic_deploy.datasets.images import Colour
from mosaic_deploy.datasets.samples import Decode, FileDataset, Home, ids_up_to, pair_files
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels
from mosaic_deploy.specs.toml import read_toml

SPLITS = ("train", "calib", "val")
HOME = Home(
    holds="images/, and for labels labels/ and classes.txt; or calib/images, val/images and so on",
    origin="see docs/how-to/data.md",
)
_MOST = 255
_GOLDEN = 0.618034
_LINE = re.compile(r"(?P<name>.*?)(?:[\s,;:]+[\[(]?\s*(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})\s*[\])]?)?$")
_HEADS = re.compile(r"(?:class|name|label)[\s,;]+(?:r|red)[\s,;]+(?:g|green)[\s,;]+(?:b|blue)", re.IGNORECASE)
"""A first line that names columns, as tables of CamVid's classes have."""

Byte = Annotated[int, Field(ge=0, le=255)]


class _Class(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    colour: tuple[Byte, Byte, Byte] | None = None


class _Classes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[_Class, ...]
    ignore: tuple[Byte, ...] = ()
    ignore_colours: tuple[tuple[Byte, Byte, Byte], ...] = ()
    unscored: tuple[int, ...] = ()


def load(root: Path, split: str) -> FileDataset:
    """Open one split.

    Labels whose classes nothing states are read once ``FileDataset.read_as`` is told them.

    Raises ``DataError`` where the folders are not laid out as above, or the classes are not 2 to 255
    different ones, and ``SpecError`` for a ``classes.toml`` that breaks its schema.
    """
    if split not in SPLITS:
        raise DataError(f"folder: no split '{split}'; there are {', '.join(SPLITS)}")
    home = _home(root, split)
    stated = _classes(root)
    labels = home / "labels"
    items = pair_files(home / "images", labels if labels.is_dir() else None)
    space, ignore, colours = stated or (LabelSpace((), ()), (), {})
    cure = f": name them in {root / 'classes.txt'}, or list them under ignore in classes.toml"
    decode = ids_up_to(len(space.classes), ignore=(*ignore, 255), cure=cure)
    if stated is None:
        decode = _undecided(root)
    named = tuple(path for path in (root / "classes.toml", root / "classes.txt") if path.is_file())
    return FileDataset("folder", space, items, decode, upright=True, stated_by=named[:1], colours=colours)


def _undecided(root: Path) -> Decode:
    def decode(_raw: Pixels, path: Path) -> Pixels:
        raise DataError(f"{path}: label maps need {root / 'classes.txt'} to say what their ids mean")

    return decode


def _home(root: Path, split: str) -> Path:
    wanted = ("calib", "train") if split == "calib" else (split,)
    own = next((root / name for name in wanted if (root / name / "images").is_dir()), root)
    if not (own / "images").is_dir():
        raise DataError(f"folder: {root} must hold images/, or {split}/images/")
    return own


def _classes(root: Path) -> tuple[LabelSpace, tuple[int, ...], dict[Colour, int]] | None:
    """What the ids mean, which are ignored, and the id of each stated colour; None where nothing says so."""
    rich, plain = root / "classes.toml", root / "classes.txt"
    if rich.is_file():
        path, stated = rich, read_toml(_Classes, rich)
    elif plain.is_file():
        path, stated = plain, _read_lines(plain)
    else:
        return None
    names = tuple(entry.name for entry in stated.classes)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the class '{twice[0]}' is listed twice")
    if not 2 <= len(names) <= _MOST:
        raise DataError(f"{path}: names {len(names)} classes; 2 to {_MOST} are supported")
    for what, ids, last in (("unscored", stated.unscored, len(names) - 1), ("ignore", stated.ignore, 255)):
        strange = [i for i in ids if not (0 <= i <= last)]
        if strange:
            raise DataError(f"{path}: {what} holds {strange[0]}, ids are 0 to {last}")
    palette = tuple(entry.colour or colour_of(i) for i, entry in enumerate(stated.classes))
    return LabelSpace(names, palette, stated.unscored), stated.ignore, _colours(path, stated)


def _colours(path: Path, stated: _Classes) -> dict[Colour, int]:
    """The id of each colour that is stated; raises ``DataError`` where two classes have one."""
    found: dict[Colour, int] = {}
    for index, entry in enumerate(stated.classes):
        if entry.colour is None:
            continue
        if entry.colour in found:
            other = stated.classes[found[entry.colour]].name
            shown = " ".join(str(part) for part in entry.colour)
            raise DataError(f"{path}: '{other}' and '{entry.name}' have the same colour, {shown}")
        found[entry.colour] = index
    ignored = dict.fromkeys(stated.ignore_colours, IGNORE)
    return {**ignored, **found} if found else {}


def _read_lines(path: Path) -> _Classes:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: cannot be read ({err})") from err
    entries: list[_Class] = []
    for number, line in enumerate(text.rstrip().splitlines(), start=1):
        if number == 1 and _HEADS.fullmatch(line.strip()):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None or not found["name"]:
            raise DataError(f"{path}: line {number} names no class, but each line stands for an id")
        shades = found.groups()[1:]
        colour = None if shades[0] is None else (int(shades[0]), int(shades[1]), int(shades[2]))
        if colour is not None and max(colour) > 255:
            raise DataError(f"{path}: '{line.strip()}': a colour is three numbers from 0 to 255")
        entries.append(_Class(name=found["name"].strip(), colour=colour))
    return _Classes(classes=tuple(entries))


def colour_of(index: int) -> tuple[int, int, int]:
    """A colour far from those of the ids before it."""
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.75, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)
