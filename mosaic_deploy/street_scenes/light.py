"""Daylight: where the sun stands, how strong it is, and what the haze does to far things."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Light:
    """Colours are RGB multipliers of a surface's own colour; ``haze_rgb`` is in [0, 255].

    ``sun`` is the (3,) unit vector towards the sun; ``haze_m`` the distance at which 63 % of
    a surface's contrast is gone; ``dusk`` tells the lens to stop down.
    """

    sun: Floats
    sun_rgb: Floats
    sky_rgb: Floats
    haze_rgb: Floats
    haze_m: float
    cloud: float
    dusk: bool

    def on(self, normal: tuple[float, float, float] | Floats, *, sunny: bool = True) -> Floats:
        """Give the (3,) multiplier for a surface facing ``normal``, in the sun or in shade."""
        across, up, ahead = (float(part) for part in normal)
        ambient: Floats = self.sky_rgb * (0.8 + 0.2 * up)
        if not sunny:
            return ambient
        x, y, z = self.sun.tolist()
        direct = max(0.0, across * x + up * y + ahead * z)
        return np.asarray(ambient + self.sun_rgb * direct)

    def through_air(self, colour: Floats, distance_m: float) -> Floats:
        """Fade an RGB colour in [0, 255] into the haze."""
        kept = math.exp(-max(distance_m - 10.0, 0.0) / self.haze_m)
        return np.asarray(colour * kept + self.haze_rgb * (1.0 - kept))

    def shadow_shift(self) -> tuple[float, float]:
        """Metres along x and z that a shadow runs per metre of height, at most 4."""
        run = -self.sun[[0, 2]] / self.sun[1]
        length = float(np.hypot(*run))
        run = run * min(1.0, 4.0 / max(length, 1e-6))
        return float(run[0]), float(run[1])


def sample(rng: np.random.Generator) -> Light:
    """Draw a time of day: sunny, overcast, or (one scene in six) dusk."""
    mood = rng.random()
    dusk = bool(mood < 0.16)
    strength = 0.0 if dusk else (rng.uniform(0.6, 1.15) if mood < 0.6 else rng.uniform(0.0, 0.25))
    around, up = rng.uniform(-np.pi, np.pi), rng.uniform(0.28, 0.85)
    sun = np.array([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)])
    warm = np.array([1.06, 1.0, 0.88]) if up < 0.5 else np.array([1.02, 1.0, 0.95])
    ambient = rng.uniform(0.42, 0.56) if dusk else 0.92 - 0.42 * strength + rng.uniform(-0.04, 0.04)
    cool = np.array([0.97, 1.0, 1.04]) if strength > 0.3 else np.array([0.99, 1.0, 1.01])
    haze = np.array([205.0, 214.0, 222.0]) * (0.62 if dusk else 1.0)
    return Light(
        sun=sun,
        sun_rgb=warm * strength,
        sky_rgb=cool * ambient,
        haze_rgb=haze,
        haze_m=rng.uniform(180.0, 600.0),
        cloud=float(rng.uniform(0.0, 0.5) if strength > 0.3 else rng.uniform(0.5, 1.0)),
        dusk=dusk,
    )
