"""The sky, and the far skyline that hides the end of the street."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.street_scenes.classes import BUILDING, SKY, TREE
from mosaic_deploy.street_scenes.light import Light
from mosaic_deploy.street_scenes.noise import SIDE, Noise
from mosaic_deploy.street_scenes.stage import Stage, grey

Field = NDArray[np.float32]


def _clouds(noise: Noise, rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Look at a bank of clouds from below: wide and flat, flatter towards the horizon."""
    tall, wide = size
    rows = (SIDE * 0.55 * (np.linspace(0.0, 1.0, tall) ** 1.6)).astype(np.int64)
    cols = (np.linspace(0.0, SIDE * rng.uniform(0.3, 0.7), wide)).astype(np.int64)
    shift = rng.integers(SIDE, size=2)
    rows, cols = (rows + shift[0]) % SIDE, (cols + shift[1]) % SIDE
    return np.asarray(noise.cloudy[rows[:, None], cols[None, :]])


def backdrop(
    light: Light, noise: Noise, rng: np.random.Generator, *, size: tuple[int, int], horizon: float
) -> Image.Image:
    """Paint an RGBA canvas of nothing but sky for a (height, width) size and a horizon row."""
    tall, wide = size
    small = (max(2, tall // 6), max(2, wide // 6))
    blue = np.array([148.0, 186.0, 226.0]) * rng.uniform(0.9, 1.08) + rng.normal(0, 6, 3)
    pale = np.array([238.0, 243.0, 246.0])
    veil = np.array([205.0, 208.0, 212.0]) * rng.uniform(0.85, 1.15)
    if light.dusk:
        blue, pale = blue * 0.62, pale * 0.66
        veil = veil * 0.5
    height = np.clip((horizon / 6 - np.arange(small[0])) / (horizon / 6), 0, 1)[:, None, None]
    clear = pale + (blue - pale) * height ** rng.uniform(0.6, 1.4) * rng.uniform(0.35, 1.0)
    clouds = _clouds(noise, rng, small)[..., None]
    cover = np.clip(clouds * rng.uniform(0.3, 0.6) + light.cloud * 2 - 0.5, 0, 1)
    bright = veil + (pale - veil) * np.clip(0.5 + clouds[::-1] * 0.3 + light.cloud * 0.2, 0, 1)
    picture = np.clip(clear * (1 - cover) + bright * cover, 0, 255).astype(np.uint8)
    full = Image.fromarray(picture, "RGB").resize((wide, tall), Image.Resampling.BILINEAR)
    full.putalpha(SKY)
    return full


def _silhouette(stage: Stage, *, height_m: tuple[float, float], jag_m: float, label: int) -> None:
    rng = stage.rng
    far = rng.uniform(140.0, 200.0)
    span = np.linspace(-180.0, 180.0, 300)
    lift = stage.noise.crop(stage.noise.cloudy, (1, span.size), rng)[0]
    tops = rng.uniform(*height_m) + jag_m * (lift + rng.normal(0.0, 0.25, span.size))
    if label == BUILDING:
        block = np.cumsum(rng.random(span.size) < 0.22)
        tops = rng.uniform(*height_m, size=int(block[-1]) + 1)[block]
    x = np.concatenate([[-185.0], span, [185.0]])
    y = np.concatenate([[0.0], np.maximum(tops, 2.0), [0.0]])
    points = stage.project(np.stack([x, y, np.full(x.size, far)], axis=1))
    tint = np.array([66.0, 68.0, 56.0]) if label == TREE else grey(rng, 90.0, 130.0)
    base = tint * stage.light.on((0.0, 0.0, -1.0))
    stage.canvas.polygon(points, stage.light.through_air(base, far * 0.6), label)
    box = stage.canvas.clip(points)
    if box is not None:
        stage.grain(points, box, amount=0.16, grain_px=1.2)


def skyline(stage: Stage) -> None:
    """Draw far roofs, then a far belt of trees, from one edge of the picture to the other."""
    if stage.rng.random() < 0.6:
        _silhouette(stage, height_m=(6.0, 11.0), jag_m=2.0, label=BUILDING)
    _silhouette(stage, height_m=(4.0, 10.0), jag_m=1.2, label=TREE)
