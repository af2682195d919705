"""What an image looks like, in bits; and sets of images that say nothing of a camera's.

``leak`` finds images whose pixels are the same. A copy that was compressed anew or resized has other pixels
and the same look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import Pixels

_SIDE = 16
LOOK_BITS = _SIDE * _SIDE
COPY, NEAR = 18, 32
"""Bits of the 256 by which copies, and frames of a film that follow each other, differ at most.

Measured on CamVid and rendered streets: copies at JPEG quality 60 or at two thirds of the size by up to 14,
the next frames of a film by 22 to 27, other scenes by 66 and more."""
_FLAT = 2.0
"""Levels of brightness: an image whose standard deviation is below shows nothing."""
_NOISE = 0.3
"""Correlation of neighbouring pixels below which it is noise. White noise has 0, CamVid 0.86 or more."""


@dataclass(frozen=True, slots=True)
class Look:
    """One image."""

    bits: int
    """256 of them: whether it grows brighter from a cell to its neighbour on the right, on a 17x16 grid."""
    contrast: float
    """Standard deviation of its brightness, 0 to 128."""
    smoothness: float
    """Correlation of neighbouring pixels, -1 to 1; 0 where there is no contrast."""


def look_of(pixels: Pixels) -> Look:
    """Describe an (H, W, 3) RGB image.

    Source of the bits: N. Krawetz, "Kind of Like That" (2013), the difference hash, here on more cells.
    """
    grey = PillowImage.fromarray(pixels).convert("L")
    cells = np.asarray(grey.resize((_SIDE + 1, _SIDE), PillowImage.Resampling.BOX), np.int16)
    rising = np.packbits((cells[:, 1:] > cells[:, :-1]).ravel())
    values = np.asarray(grey, np.float64)
    around = values - values.mean()
    variance = float((around**2).mean())
    pairs = (around[:, 1:] * around[:, :-1], around[1:] * around[:-1])
    total, count = sum(float(p.sum()) for p in pairs), sum(p.size for p in pairs)
    smoothness = total / count / variance if variance > 0 and count else 0.0
    return Look(int.from_bytes(rising.tobytes(), "big"), variance**0.5, smoothness)


def require_scenes(looks: Sequence[Look], name: str) -> None:
    """Raise ``DataError`` for images that cannot calibrate: noise, plain colour, or one image many times."""
    if not looks:
        raise DataError(f"{name}: no images to calibrate on")
    flat = sum(look.contrast < _FLAT for look in looks)
    noise = sum(look.contrast >= _FLAT and look.smoothness < _NOISE for look in looks)
    kinds = ((flat, "show nothing (one colour)"), (noise, "are noise (pixel and neighbour unrelated)"))
    for count, what in kinds:
        if 2 * count > len(looks):
            raise DataError(
                f"{name}: {count} of {len(looks)} images {what}: ranges would fit no photo; calibrate on "
                "images as the camera takes them"
            )
    if len(looks) > 1 and all(distance(looks[0], look) <= COPY for look in looks):
        raise DataError(
            f"{name}: {len(looks)} images, and all are the same one: calibrate on different scenes"
        )


def distance(first: Look, second: Look) -> int:
    """The bits by which two images differ, 0 to 256."""
    return (first.bits ^ second.bits).bit_count()
