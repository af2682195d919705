"""What every painter is handed: camera, canvas, light, noise, dice, and who stands in shade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mosaic_deploy.street_scenes.camera import Camera
from mosaic_deploy.street_scenes.canvas import SUPER, Canvas
from mosaic_deploy.street_scenes.light import Light
from mosaic_deploy.street_scenes.noise import SIDE, Noise

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stage:
    """``shade`` is the (H, W) picture-sized map of cast shadow on the ground, 0 sun to 1 shade."""

    camera: Camera
    canvas: Canvas
    light: Light
    noise: Noise
    rng: np.random.Generator
    shade: NDArray[np.float32]

    def project(self, points: Floats) -> Floats:
        """Map (N, 3) world metres to (N, 2) canvas pixels."""
        return self.camera.project(points)

    def sunny(self, x_m: float, z_m: float) -> bool:
        """Tell whether an object standing at (x, z) is in the sun."""
        (column, row), *_ = self.project(np.array([[x_m, 0.0, z_m]]))
        tall, wide = self.shade.shape
        at = (int(row) // SUPER, int(column) // SUPER)
        if not (0 <= at[0] < tall and 0 <= at[1] < wide):
            return True
        return bool(self.shade[at] < 0.5)

    def paint(
        self, points: Floats, colour: Floats, label: int, *, normal: Floats, sunny: bool = True
    ) -> None:
        """Fill a flat world polygon (N, 3), lit by its (3,) normal and faded by distance."""
        lit = colour * self.light.on(normal, sunny=sunny)
        hazy = self.light.through_air(lit, float(points[:, 2].mean()))
        self.canvas.polygon(self.project(points), hazy, label)

    def grain(
        self, points: Floats, box: tuple[int, int, int, int], *, amount: float, grain_px: float
    ) -> None:
        """Roughen the inside of an (N, 2) canvas outline by clumps of ``grain_px`` pixels."""
        size = (box[2] - box[0], box[3] - box[1])
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon((points - box[:2]).ravel().tolist(), fill=1)
        shift = self.rng.integers(SIDE, size=2)
        rows = ((np.arange(size[1]) / grain_px).astype(np.int64) + shift[0]) % SIDE
        cols = ((np.arange(size[0]) / grain_px).astype(np.int64) + shift[1]) % SIDE
        rough = self.noise.clumpy[rows[:, None], cols[None, :]] * amount
        factor = np.where(np.asarray(mask) > 0, np.clip(1 + rough, 0.3, 1.8), 1.0)
        self.canvas.tint(box, factor.astype(np.float32))


def grey(rng: np.random.Generator, low: float, high: float, *, tint: float = 4.0) -> Floats:
    """Draw a near-grey RGB colour with brightness in [low, high]."""
    return np.asarray(rng.uniform(low, high) + rng.normal(0.0, tint, 3), dtype=np.float64)


def pick(rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...]) -> Floats:
    """Draw one of the colours and shift it a little."""
    chosen = np.array(colours[int(rng.integers(len(colours)))], dtype=np.float64)
    return np.asarray(chosen * rng.uniform(0.85, 1.15) + rng.normal(0.0, 3.0, 3))
