"""Reading image files that others made: 8-bit pixels, or one line that says why not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.ImageFile import ImageFile

from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import Pixels

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm")
Colour = tuple[int, int, int]
_ORIENTATION = 0x0112
_COLOURS_CURE = ", or say each class's colour in classes.txt (name R G B)"
MAX_PIXELS = 64_000_000
"""Larger images are refused unread: they are a mistake, or a decompression bomb."""

_COLOURS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
"""Pillow's modes with 8 bits a channel at most; the rest would be cut to white when made RGB."""


def read_image(path: Path, *, upright: bool = False) -> Pixels:
    """Read any common image format as (H, W, 3) RGB; ``upright`` follows the EXIF orientation.

    Raises ``DataError`` for what cannot be decoded, has over 64 million pixels or 16 bits a channel.
    """
    return _read(path, partial(_rgb, path=path, upright=upright))


def orientation(path: Path) -> int:
    """The EXIF orientation of an image, 2 to 8 where it is turned or mirrored; 1 where none can be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PillowImage.open(path) as image:
                found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # whoever reads its pixels says what is wrong with the file
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def read_label(path: Path, *, colours: Mapping[Colour, int] | None = None) -> Pixels:
    """Read a label map as (H, W) ids: an 8-bit grey or palette image; raises ``DataError`` otherwise.

    With ``colours`` a map in RGB is taken as well: each of its colours must be one of them.
    """
    return _read(path, partial(_ids, path=path, colours=colours or {}))


def _rgb(image: ImageFile, *, path: Path, upright: bool) -> Pixels:
    if image.mode not in _COLOURS:
        raise DataError(
            f"{path}: has more than 8 bits a channel (mode {image.mode}): convert it to 8-bit RGB"
        )
    turned = ImageOps.exif_transpose(image) if upright else image
    return np.asarray(turned.convert("RGB"))


def _ids(image: ImageFile, *, path: Path, colours: Mapping[Colour, int]) -> Pixels:
    """Ids of a single-channel image; 2- or 4-bit grey is refused, since Pillow stretches it to 0..255."""
    if image.mode in ("RGB", "RGBA") and colours:
        return _ids_of_colours(np.asarray(image.convert("RGB")), colours, path)
    packed = any(tile.args in ("L;2", "L;4") for tile in image.tile)
    if packed or image.mode not in ("L", "P"):
        kind = f"grey {image.tile[0].args}" if packed else f"mode {image.mode}"
        raise DataError(
            f"{path}: a label map is an 8-bit single-channel image of class ids, this one is of {kind}: "
            f"convert it to ids first{_COLOURS_CURE if image.mode in ('RGB', 'RGBA') else ''}"
        )
    return np.asarray(image)


def _ids_of_colours(pixels: Pixels, colours: Mapping[Colour, int], path: Path) -> Pixels:
    """Ids of (H, W, 3) colours; raises ``DataError`` for a colour that is no class's."""
    packed = (pixels.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    codes, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    known = {(red << 16) + (green << 8) + blue: index for (red, green, blue), index in colours.items()}
    strange = [i for i, code in enumerate(codes.tolist()) if code not in known]
    if strange:
        most = max(strange, key=lambda i: int(counts[i]))
        shown = " ".join(str(int(codes[most]) >> shift & 255) for shift in (16, 8, 0))
        others = f", and {len(strange) - 1} more colours" if len(strange) > 1 else ""
        raise DataError(
            f"{path}: {int(counts[most])} pixels have the colour {shown}{others}, which is no class's: give "
            "the class that colour in classes.txt (name R G B), or list the colour "
            "under ignore_colours in classes.toml; a JPEG blurs colours, a label map must be PNG"
        )
    ids: Pixels = np.array([known[code] for code in codes.tolist()], np.uint8)[places.reshape(packed.shape)]
    return ids


def _read(path: Path, take: Callable[[ImageFile], Pixels]) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters it raises
            with PillowImage.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{path}: {image.width}x{image.height} pixels are more than the {MAX_PIXELS} allowed"
                    )
                return take(image)
    except DataError:
        raise
    except PillowImage.DecompressionBombError as err:
        raise DataError(f"{path}: refused, its size looks like an attack ({err})") from err
    except Exception as err:  # a decoder fails on a broken file with whatever it trips over
        reason = " ".join(str(err).split()) or type(err).__name__
        raise DataError(f"{path}: not a readable image ({reason}): replace or remove it") from err
