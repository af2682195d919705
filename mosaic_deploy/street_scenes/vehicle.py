"""Cars, vans and buses: their shapes as a side profile and a width along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.stage import pick

Floats = NDArray[np.float64]

_PAINTS = (
    (150, 153, 158),
    (172, 175, 178),
    (34, 35, 38),
    (28, 36, 62),
    (120, 24, 26),
    (206, 206, 204),
    (40, 66, 52),
    (84, 90, 98),
    (52, 78, 120),
    (60, 60, 64),
    (170, 160, 130),
)
# Side profiles as (ahead / length, height / height) from rear bumper over the roof to the front.
_SHAPES = {
    "hatch": (
        (-0.49, 0.22), (-0.5, 0.42), (-0.485, 0.62), (-0.45, 0.68), (-0.37, 0.95), (-0.30, 0.99),
        (-0.05, 1.0), (0.06, 0.96), (0.25, 0.66), (0.40, 0.58), (0.47, 0.48), (0.5, 0.34),
        (0.49, 0.18),
    ),
    "saloon": (
        (-0.49, 0.22), (-0.5, 0.45), (-0.49, 0.64), (-0.36, 0.68), (-0.22, 0.95), (-0.14, 0.99),
        (0.02, 1.0), (0.10, 0.96), (0.25, 0.66), (0.42, 0.57), (0.48, 0.46), (0.5, 0.32),
        (0.49, 0.18),
    ),
    "estate": (
        (-0.49, 0.22), (-0.5, 0.42), (-0.49, 0.62), (-0.47, 0.66), (-0.42, 0.94), (-0.37, 0.98),
        (0.0, 1.0), (0.10, 0.96), (0.27, 0.66), (0.42, 0.57), (0.48, 0.46), (0.5, 0.32),
        (0.49, 0.18),
    ),
    "tall": (
        (-0.49, 0.22), (-0.5, 0.4), (-0.495, 0.58), (-0.49, 0.62), (-0.46, 0.94), (-0.42, 0.99),
        (0.05, 1.0), (0.16, 0.95), (0.32, 0.64), (0.45, 0.55), (0.49, 0.44), (0.5, 0.3),
        (0.49, 0.18),
    ),
    "van": (
        (-0.49, 0.18), (-0.5, 0.3), (-0.5, 0.5), (-0.5, 0.55), (-0.495, 0.96), (-0.48, 0.99),
        (0.14, 1.0), (0.22, 0.95), (0.37, 0.58), (0.46, 0.47), (0.49, 0.38), (0.5, 0.26),
        (0.49, 0.14),
    ),
    "bus": (
        (-0.495, 0.1), (-0.5, 0.2), (-0.5, 0.42), (-0.5, 0.45), (-0.497, 0.95), (-0.485, 0.99),
        (0.46, 1.0), (0.485, 0.97), (0.497, 0.45), (0.5, 0.36), (0.5, 0.26), (0.5, 0.16),
        (0.495, 0.1),
    ),
}  # fmt: skip
BELT = {"hatch": 0.64, "saloon": 0.66, "estate": 0.64, "tall": 0.6, "van": 0.56, "bus": 0.44}


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Stands at (x, z) metres with its nose turned ``heading`` radians right of ahead."""

    x_m: float
    z_m: float
    heading: float
    shape: str
    size_m: tuple[float, float, float]
    paint: Floats
    braking: bool


def sample(rng: np.random.Generator, *, x_m: float, z_m: float, heading: float) -> Vehicle:
    """Draw a vehicle for a place: mostly cars, some vans, a few buses."""
    shape = str(rng.choice(tuple(_SHAPES), p=(0.36, 0.2, 0.13, 0.16, 0.11, 0.04)))
    length, width, height = {
        "hatch": (3.9, 1.68, 1.44),
        "saloon": (4.5, 1.75, 1.42),
        "estate": (4.5, 1.75, 1.46),
        "tall": (4.4, 1.8, 1.72),
        "van": (4.9, 1.9, 2.15),
        "bus": (10.5, 2.45, 3.2),
    }[shape]
    scale = rng.uniform(0.95, 1.06, 3)
    paint = pick(rng, _PAINTS)
    if shape == "van" and rng.random() < 0.6:
        paint = np.array([205.0, 206.0, 205.0])
    if shape == "bus":
        paint = pick(rng, ((150, 30, 30), (40, 90, 150), (200, 196, 180), (70, 120, 80)))
    size = (length * scale[0], width * scale[1], height * scale[2])
    return Vehicle(x_m, z_m, heading, shape, size, paint, bool(rng.random() < 0.4))


def footprint(car: Vehicle) -> Floats:
    """Give the (4, 3) ground corners, for its shadow."""
    length, width, _ = car.size_m
    x = np.array([-1.0, 1.0, 1.0, -1.0]) * width / 2
    z = np.array([-1.0, -1.0, 1.0, 1.0]) * length / 2
    cos, sin = np.cos(car.heading), np.sin(car.heading)
    return np.stack([x * cos + z * sin + car.x_m, np.zeros(4), -x * sin + z * cos + car.z_m], axis=1)


def half_width(car: Vehicle, ahead: Floats, up: Floats) -> Floats:
    """Half the width at points of the profile: rounded in plan, leaning in above the belt."""
    boxy = car.shape in ("van", "bus")
    end = np.clip((np.abs(ahead) / car.size_m[0] - 0.38) / 0.12, 0, 1)
    lean = np.clip((up / car.size_m[2] - BELT[car.shape]) / (1 - BELT[car.shape]), 0, 1)
    shrink = (1 - (0.03 if boxy else 0.1) * end**2) * (1 - (0.06 if boxy else 0.2) * lean)
    return np.asarray(car.size_m[1] / 2 * shrink)


def profile(car: Vehicle) -> Floats:
    """The (N, 2) side outline in metres, its corners cut once."""
    raw = np.array(_SHAPES[car.shape]) * (car.size_m[0], car.size_m[2])
    cut = np.empty((2 * len(raw) - 2, 2))
    cut[0::2], cut[1::2] = raw[:-1] * 0.8 + raw[1:] * 0.2, raw[:-1] * 0.2 + raw[1:] * 0.8
    return np.concatenate([raw[:1], cut, raw[-1:]])
