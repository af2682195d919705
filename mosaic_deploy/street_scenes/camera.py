"""A pinhole camera on a dashboard: world metres to picture pixels and back to the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Field = NDArray[np.float32]

NEAREST_M = 0.4


@dataclass(frozen=True, slots=True)
class Camera:
    """World axes are x right, y up, z ahead, in metres; the lens is at (0, height_m, 0).

    ``turn`` is the (3, 3) rotation from world to camera axes; pixels run right and down.
    """

    focal_px: float
    centre_px: tuple[float, float]
    height_m: float
    turn: Floats

    def project(self, points: Floats) -> Floats:
        """Map (N, 3) world points to (N, 2) pixels; points behind the lens are pulled to it."""
        right, up, ahead = self.turn @ points.T - self.turn[:, 1:2] * self.height_m
        scale = self.focal_px / np.maximum(ahead, NEAREST_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.centre_px[0] + right * scale
        pixels[:, 1] = self.centre_px[1] - up * scale
        return pixels

    def pixels_per_metre(self, depth_m: float) -> float:
        """Size in pixels of one metre facing the lens at ``depth_m``."""
        return self.focal_px / max(depth_m, NEAREST_M)

    def ground(self, size: tuple[int, int], *, step: int) -> tuple[Field, Field]:
        """Find where rays meet the ground, on a (height, width) grid of ``step``-pixel cells.

        Returns:
            x and z in metres, (height, width) each; z is 0 where the ray meets no ground
            within 400 m.
        """
        across = ((np.arange(size[1]) + 0.5) * step - self.centre_px[0]) / self.focal_px
        down = (self.centre_px[1] - (np.arange(size[0]) + 0.5) * step) / self.focal_px
        x, y = across.astype(np.float32)[None, :], down.astype(np.float32)[:, None]
        rays = [axis[0] * x + axis[1] * y + axis[2] for axis in self.turn.T.astype(np.float32)]
        rise = np.minimum(rays[1], np.float32(-self.height_m / 400.0))
        reach = np.float32(-self.height_m) / rise
        reach *= rays[1] < -self.height_m / 400.0
        return rays[0] * reach, rays[2] * reach


def sample(rng: np.random.Generator, *, height: int, width: int) -> Camera:
    """Draw the camera of one drive for a picture of ``height`` by ``width`` pixels."""
    yaw, pitch, roll = rng.normal(0.0, (0.025, 0.0, 0.006))
    focal = width * rng.uniform(0.92, 1.18)
    horizon = height * rng.uniform(0.48, 0.57)
    cos, sin = np.cos, np.sin
    turn_yaw = np.array([[cos(yaw), 0, -sin(yaw)], [0, 1, 0], [sin(yaw), 0, cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, cos(pitch), -sin(pitch)], [0, sin(pitch), cos(pitch)]])
    turn_roll = np.array([[cos(roll), sin(roll), 0], [-sin(roll), cos(roll), 0], [0, 0, 1]])
    turn = turn_roll @ turn_pitch @ turn_yaw
    return Camera(focal, (width / 2, horizon), rng.uniform(1.2, 1.6), turn)
