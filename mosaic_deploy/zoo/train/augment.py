"""Random views of training samples: pasted rare classes, scale, crop, flip, colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.specs.labels import IGNORE, Pixels


@dataclass(frozen=True, slots=True)
class View:
    """Where a crop lies: the output's (height, width), the zoom against it, and the scale's range."""

    size: tuple[int, int]
    scale: tuple[float, float]


def paste_classes(
    base: tuple[Pixels, Pixels], donor: tuple[Pixels, Pixels], chosen: NDArray[np.uint8]
) -> tuple[Pixels, Pixels]:
    """Copy the donor's pixels of the ``chosen`` class ids over the base, at their own place.

    Both are (image (H, W, 3), label (H, W)); scenes of one camera keep their perspective this way.
    """
    mask = np.isin(donor[1], chosen)
    return np.where(mask[..., None], donor[0], base[0]), np.where(mask, donor[1], base[1])


def random_view(image: Pixels, label: Pixels, view: View, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Scale, crop and flip at random.

    Scale 1 makes the whole image as large as the crop. What lies outside the image is mid-grey and
    ignored.

    Returns:
        image (*size, 3) and label (*size) as the view says.
    """
    height, width = view.size
    low, high = np.log(view.scale)
    zoom = float(np.exp(rng.uniform(low, high)))
    aspect = float(np.exp(rng.uniform(-0.12, 0.12)))
    zoom_y = zoom * height / image.shape[0] * aspect
    zoom_x = zoom * width / image.shape[1] / aspect
    top, inner_h = _window(image.shape[0], height / zoom_y, rng)
    left, inner_w = _window(image.shape[1], width / zoom_x, rng)
    out_h, out_w = min(height, round(inner_h * zoom_y)), min(width, round(inner_w * zoom_x))
    box = (left, top, left + inner_w, top + inner_h)
    small = Image.fromarray(image).resize((out_w, out_h), Image.Resampling.BILINEAR, box)
    ids = Image.fromarray(label).resize((out_w, out_h), Image.Resampling.NEAREST, box)
    canvas = np.full((height, width, 3), 128, np.uint8)
    truth = np.full((height, width), IGNORE, np.uint8)
    y = int(rng.integers(height - out_h + 1))
    x = int(rng.integers(width - out_w + 1))
    canvas[y : y + out_h, x : x + out_w] = np.asarray(small)
    truth[y : y + out_h, x : x + out_w] = np.asarray(ids)
    if rng.random() < 0.5:
        return canvas[:, ::-1], truth[:, ::-1]
    return canvas, truth


def _window(length: int, wanted: float, rng: np.random.Generator) -> tuple[float, float]:
    inner = min(wanted, float(length))
    return float(rng.uniform(0, length - inner)), inner


def jitter_colour(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast, saturation and white balance of an (H, W, 3) image at random."""
    gain = np.exp(rng.uniform(-0.35, 0.35)) * np.exp(rng.uniform(-0.08, 0.08, 3))
    contrast, saturation = np.exp(rng.uniform(-0.3, 0.3)), np.exp(rng.uniform(-0.4, 0.4))
    gamma = np.exp(rng.uniform(-0.25, 0.25))
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** gamma * 255
    centre = float(levels[int(image.mean())])
    tables = ((levels[:, None] - centre) * contrast + centre) * gain
    channels = [tables[:, c].astype(np.float32)[image[..., c]] for c in range(3)]
    x = np.stack(channels, axis=-1)
    grey = x.mean(axis=-1, keepdims=True)
    out: Pixels = np.clip(grey + (x - grey) * np.float32(saturation), 0, 255).astype(np.uint8)
    return out
