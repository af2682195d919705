"""Images that stand in two sets at once."""

from __future__ import annotations

import hashlib

from mosaic_deploy.datasets.images import read_image
from mosaic_deploy.datasets.samples import FileDataset, Item
from mosaic_deploy.errors import DataError

_SHOWN = 3


def disjoint(calibration: FileDataset, validation: FileDataset) -> None:
    """See that nothing that ranges were calibrated on is measured on.

    Images are the same if their decoded pixels are, whatever their names and file formats. A cropped, resized
    or newly compressed copy and the next frame of a film are not found.

    Raises ``DataError`` for an empty calibration set, for images of it that stand in the validation set as
    well (with their names), and for an image that cannot be read.
    """
    if not calibration.items:
        raise DataError(f"{calibration.name}: no images to calibrate on")
    held = {_fingerprint(item) for item in validation.items}
    shared = [item.name for item in calibration.items if _fingerprint(item) in held]
    if shared:
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        raise DataError(
            f"{calibration.name}: {len(shared)} of {len(calibration)} calibration images also stand in the "
            f"validation set ({', '.join(shared[:_SHOWN])}{more}): calibrate on other images, or the parity "
            "would flatter (a folder may keep them apart as calib/images and val/images)"
        )


def _fingerprint(item: Item) -> bytes:
    pixels = read_image(item.image)
    return hashlib.blake2b(pixels.tobytes(), key=repr(pixels.shape).encode(), digest_size=16).digest()
