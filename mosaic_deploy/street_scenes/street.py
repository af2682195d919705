"""The plan of a street: its bends, kerbs and junctions, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR_M = 1.3
FAR_M = 160.0


@dataclass(frozen=True, slots=True)
class Junction:
    """A side road from ``start_m`` to ``end_m`` ahead, on side -1 (left) or 1 (right)."""

    side: int
    start_m: float
    end_m: float


@dataclass(frozen=True, slots=True)
class Street:
    """Kerbs at ``kerb_m`` (left < 0 < right) from the camera's path; pavements beyond them.

    ``bend`` is in 1/m and ``skew`` the heading's slope; ``verge`` names what lies beyond each
    pavement, one of grass, paved, asphalt; ``kind`` names the mood, for what stands beside it.
    """

    kind: str
    kerb_m: tuple[float, float]
    pavement_m: tuple[float, float]
    bend: float
    skew: float
    verge: tuple[str, str]
    junctions: tuple[Junction, ...]

    def at(self, across: Floats | float, ahead: Floats | float, up: Floats | float = 0.0) -> Floats:
        """Map street coordinates in metres to (N, 3) world points."""
        x = across + (self.skew + 0.5 * self.bend * ahead) * ahead
        points = np.empty((max(np.size(x), np.size(up)), 3))
        points[:, 0], points[:, 1], points[:, 2] = x, up, ahead
        return points

    def heading(self, ahead_m: float) -> float:
        """Angle of the road from straight ahead, in radians, positive to the right."""
        return float(np.arctan(self.skew + self.bend * ahead_m))

    def edge(self, side: int) -> float:
        """Where the pavement ends on that side, in metres across."""
        at = 0 if side < 0 else 1
        return self.kerb_m[at] + side * self.pavement_m[at]

    def kerb(self, side: int) -> float:
        """Where the road ends on that side, in metres across."""
        return self.kerb_m[0 if side < 0 else 1]

    def in_junction(self, side: int, start_m: float, end_m: float) -> bool:
        """Tell whether a stretch of that side meets a side road."""
        return any(
            road.side == side and start_m < road.end_m and end_m > road.start_m for road in self.junctions
        )


def apart(span_m: tuple[float, float], count: int) -> Floats:
    """Space ``count`` distances over a span so that they look even to the lens."""
    return np.asarray(np.geomspace(*span_m, count), dtype=np.float64)


KINDS = ("terrace", "suburb", "park", "open")


def _junctions(rng: np.random.Generator) -> tuple[Junction, ...]:
    roads = []
    for side in (-1, 1):
        if rng.random() < 0.36:
            start = rng.uniform(9.0, 55.0)
            roads.append(Junction(side, start, start + rng.uniform(6.5, 10.0)))
    if len(roads) == 2 and rng.random() < 0.4:
        roads[1] = Junction(1, roads[0].start_m, roads[0].end_m)
    return tuple(roads)


def sample(rng: np.random.Generator) -> Street:
    """Draw the plan of one street; traffic keeps left."""
    kind = str(rng.choice(KINDS, p=(0.48, 0.2, 0.16, 0.16)))
    lane = rng.uniform(2.9, 3.7)
    drift = rng.normal(0.0, 0.25)
    left = -lane / 2 - drift - (rng.uniform(1.8, 2.3) if rng.random() < 0.3 else 0.0)
    right = lane * (2 if rng.random() < 0.22 else 1) + lane / 2 - drift
    if kind == "open":
        right += rng.uniform(1.0, 6.0)
    verges = {"terrace": ("paved",), "suburb": ("grass", "paved"), "park": ("grass",)}
    choices = verges.get(kind, ("grass", "paved", "asphalt"))
    return Street(
        kind=kind,
        kerb_m=(left, right + (rng.uniform(1.8, 2.2) if rng.random() < 0.35 else 0.0)),
        pavement_m=(rng.uniform(1.4, 3.0), rng.uniform(1.4, 3.0)),
        bend=float(rng.normal(0.0, 0.0022)) if rng.random() < 0.6 else 0.0,
        skew=float(rng.normal(0.0, 0.03)),
        verge=(str(rng.choice(choices)), str(rng.choice(choices))),
        junctions=_junctions(rng),
    )
