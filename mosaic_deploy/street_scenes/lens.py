"""From the canvas to a photograph: shrink, blur, expose, colour, vignette, grain and JPEG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mosaic_deploy.street_scenes.canvas import SUPER
from mosaic_deploy.street_scenes.noise import SIDE, Noise

Field = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# Later wins a tie between two classes that share a picture pixel: thin things stay whole.
_RANK = np.array([0, 3, 11, 1, 2, 4, 9, 5, 6, 8, 7, 10], dtype=np.uint8)
_CLASS = np.argsort(_RANK).astype(np.uint8)


def majority(labels: Pixels) -> Pixels:
    """Shrink (2H, 2W) class ids to (H, W): the commonest of four, thin classes winning ties."""
    ranks = _RANK[labels]
    parts = [ranks[row::SUPER, column::SUPER] for row in range(SUPER) for column in range(SUPER)]
    low1, high1 = np.minimum(parts[0], parts[1]), np.maximum(parts[0], parts[1])
    low2, high2 = np.minimum(parts[2], parts[3]), np.maximum(parts[2], parts[3])
    middle_a, middle_b = np.maximum(low1, low2), np.minimum(high1, high2)
    top, bottom = np.maximum(high1, high2), np.minimum(low1, low2)
    second, third = np.minimum(middle_a, middle_b), np.maximum(middle_a, middle_b)
    lower = np.where((bottom == second) & (third != top), bottom, top)
    return np.asarray(_CLASS[np.where(second == third, second, lower)])


def _curve(rng: np.random.Generator, *, dusk: bool) -> list[int]:
    """Tabulate exposure, white balance and contrast: 256 levels of red, of green, of blue."""
    gain = rng.uniform(0.9, 1.2) if dusk else rng.uniform(1.0, 1.5)
    balance = 1.0 + rng.normal(0.0, 0.02, 3)
    light = np.arange(256)[None, :] / 255 * gain * balance[:, None]
    bent = light ** rng.uniform(1.0, 1.25)
    bend = rng.uniform(0.0, 0.5)
    steep = bent * bent * (3 - 2 * np.minimum(bent, 1.0))
    level = bent * (1 - bend) + steep * bend
    return [int(value) for value in np.clip(level.ravel() * 255 + 0.5, 0, 255)]


def _focus(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Sharpen as a camera's own processor does, or, one time in five, miss the focus a little."""
    if rng.random() < 0.2:
        return picture.filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.4) * picture.height / 360))
    edge = rng.uniform(0.05, 0.24)
    weights = (0, -edge, 0, -edge, 1 + 4 * edge, -edge, 0, -edge, 0)
    return picture.filter(ImageFilter.Kernel((3, 3), weights, scale=1))


def _grain(noise: Noise, rng: np.random.Generator, *, size: tuple[int, int], level: float) -> Field:
    """Draw (height, width, 3) sensor noise of deviation ``level``, part of it colourless."""
    shared = noise.crop(noise.white, (SIDE, SIDE), rng) * np.float32(0.8 * level)
    bands = [noise.crop(noise.white, (SIDE, SIDE), rng) for _ in range(3)]
    tile = np.stack([shared + np.float32(0.6 * level) * band for band in bands], axis=-1)
    return np.tile(tile, (-(-size[0] // SIDE), -(-size[1] // SIDE), 1))[: size[0], : size[1]]


def _vignette(size: tuple[int, int], strength: float) -> NDArray[np.float32]:
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :, None]
    return np.asarray(1 - np.float32(strength) * (x * x + y * y) / 2, dtype=np.float32)


def _jpeg(picture: Pixels, quality: int) -> Pixels:
    packed = io.BytesIO()
    Image.fromarray(picture, "RGB").save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(packed.getvalue())).convert("RGB"))


def expose(canvas: Pixels, noise: Noise, rng: np.random.Generator, *, dusk: bool) -> tuple[Pixels, Pixels]:
    """Turn (2H, 2W, 4) canvas pixels into an (H, W, 3) photograph and (H, W) class ids."""
    label = majority(canvas[..., 3])
    size = (label.shape[0], label.shape[1])
    small = Image.fromarray(canvas[..., :3], "RGB").reduce(SUPER)
    toned = _focus(small, rng).point(_curve(rng, dusk=dusk))
    colourless = toned.convert("L").convert("RGB")
    picture = np.array(Image.blend(colourless, toned, rng.uniform(0.5, 1.05)), dtype=np.float32)
    picture *= _vignette(size, rng.uniform(0.0, 0.22))
    level = rng.uniform(0.8, 3.4) * (0.8 if dusk else 1.0)
    picture += _grain(noise, rng, size=size, level=level)
    np.clip(picture, 0, 255, out=picture)
    return _jpeg(picture.astype(np.uint8), int(rng.integers(70, 95))), label
