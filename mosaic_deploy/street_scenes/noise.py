"""Seamless random fields: the grain of asphalt, leaves, plaster and clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

SIDE = 256


@dataclass(frozen=True, slots=True)
class Noise:
    """Three (SIDE, SIDE) fields of mean 0 and deviation 1 that repeat without a seam."""

    white: Field
    cloudy: Field
    clumpy: Field

    def crop(self, field: Field, size: tuple[int, int], rng: np.random.Generator) -> Field:
        """Cut a random (height, width) window, repeating the field where it is larger."""
        top, left = rng.integers(SIDE, size=2)
        rolled = np.roll(field, (-int(top), -int(left)), axis=(0, 1))
        times = (-(-size[0] // SIDE), -(-size[1] // SIDE))
        tiled = np.tile(rolled, times) if max(times) > 1 else rolled
        return tiled[: size[0], : size[1]]


def _octave(rng: np.random.Generator, cells: int) -> Field:
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    padded = Image.fromarray(np.pad(grid, 2, mode="wrap"))
    box = (2.0, 2.0, cells + 2.0, cells + 2.0)
    return np.asarray(padded.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))


def _mix(rng: np.random.Generator, cells: tuple[int, ...], fade: float) -> Field:
    field = sum(
        (_octave(rng, count) * np.float32(fade**step) for step, count in enumerate(cells)),
        start=np.zeros((SIDE, SIDE), np.float32),
    )
    return np.asarray((field - field.mean()) / field.std())


def sample(rng: np.random.Generator) -> Noise:
    """Draw the fields of one scene."""
    white = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    return Noise(white, _mix(rng, (4, 8, 16, 32, 64), 0.6), _mix(rng, (24, 48, 96), 0.8))
