"""Images that stand in two sets at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mosaic_deploy.datasets.samples import FileDataset, Item
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import Pixels

_SHOWN = 3


def fingerprint(pixels: Pixels) -> bytes:
    """Sixteen bytes that two images share only if their size and all their pixels are the same."""
    return hashlib.blake2b(pixels.tobytes(), key=repr(pixels.shape).encode(), digest_size=16).digest()


def require_disjoint(calibration: FileDataset, validation: FileDataset, prints: Mapping[Item, bytes]) -> None:
    """See that nothing that ranges are calibrated on is measured on.

    Images are the same if their decoded pixels are, whatever their names and file formats. A cropped, resized
    or newly compressed copy and the next frame of a film are not found.

    Args:
        calibration: images for calibration.
        validation: images that parity is measured on.
        prints: the fingerprint of every image of both.

    Raises:
        DataError: there are no calibration images, or some stand in the validation set as well (with their
            names).
    """
    if not calibration.items:
        raise DataError(f"{calibration.name}: no images to calibrate on")
    held = {prints[item] for item in validation.items}
    shared = [item.name for item in calibration.items if prints[item] in held]
    if shared:
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        raise DataError(
            f"{calibration.name}: {len(shared)} of {len(calibration)} calibration images are also in the "
            f"validation set ({', '.join(shared[:_SHOWN])}{more}): calibrate on other images, or parity "
            "looks better than it is (a folder may keep them apart as calib/images and val/images)"
        )
