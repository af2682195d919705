"""Pictures to run a model on where nobody gave any: rendered street scenes, or random pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.facts import Tensor


def scenes(image: Tensor, *, count: int) -> list[NDArray[Any]]:
    """Rendered street scenes as a model takes them, floats scaled to [-1, 1].

    Args:
        image: the model's input.
        count: how many at most.

    Returns:
        Arrays of the image's shape and type; none for an input that takes no three colours.
    """
    from PIL import Image

    from mosaic_deploy.datasets.samples import list_images
    from mosaic_deploy.specs.root import spec_root

    shape = image.shape or ()
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or image.dtype not in ("uint8", "float32"):
        return []
    height, width = shape[2:] if shape[1] == 3 else shape[1:3]
    made: list[NDArray[Any]] = []
    for scene in list_images(spec_root() / "calib_data" / "streets" / "val" / "images")[:count]:
        with Image.open(scene) as picture:
            pixels: NDArray[Any] = np.asarray(picture.convert("RGB").resize((width, height)))
        if image.dtype != "uint8":
            pixels = (pixels.astype(np.float32) - 127.5) / 127.5
        if shape[1] == 3:
            pixels = np.moveaxis(pixels, -1, 0)
        made.append(np.ascontiguousarray(np.broadcast_to(pixels, shape)))
    return made


def random_pixels(image: Tensor, *, seed: int = 0) -> NDArray[Any]:
    """Bytes in [0, 255] for an input of integers, else numbers in [-1, 1]."""
    rng, shape = np.random.default_rng(seed), image.shape or ()
    if np.dtype(image.dtype).kind in "iu":
        return rng.integers(0, 256, shape).astype(image.dtype)
    return rng.uniform(-1, 1, shape).astype(image.dtype)


def picture(image: Tensor) -> NDArray[Any]:
    """One scene, or random pixels where none fits."""
    found = scenes(image, count=1)
    return found[0] if found else random_pixels(image)
