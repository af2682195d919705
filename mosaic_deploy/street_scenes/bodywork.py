"""The bodywork of vehicles: facets shaded one by one, wheels, lamps and plates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.classes import CAR
from mosaic_deploy.street_scenes.stage import Stage
from mosaic_deploy.street_scenes.vehicle import BELT, Vehicle, half_width, profile

Floats = NDArray[np.float64]
Normal = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Body:
    """A vehicle being drawn: places its own axes (right, up, ahead) in the world."""

    stage: Stage
    car: Vehicle
    sunny: bool

    def world(self, points: Floats) -> Floats:
        """Turn (N, 3) points from the vehicle's axes to the world's."""
        cos, sin = math.cos(self.car.heading), math.sin(self.car.heading)
        turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        return np.asarray(points @ turn + np.array((self.car.x_m, 0.0, self.car.z_m)))

    def face(self, points: Floats, colour: Floats, *, gloss: float = 0.0) -> None:
        """Fill a facet (N, 3) if it looks at the lens; ``gloss`` mirrors the sky."""
        world = self.world(points)
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = world[:3].tolist()
        bx, by, bz, cx, cy, cz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        across, up, ahead = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        length = math.sqrt(across * across + up * up + ahead * ahead)
        facing = -across * ax + up * (self.stage.camera.height_m - ay) - ahead * az
        if length > 1e-9 and facing > 0:
            normal = (across / length, up / length, ahead / length)
            self.fill(world, colour, normal, gloss)

    def fill(self, world: Floats, colour: Floats, normal: Normal, gloss: float) -> None:
        """Fill a facet already in the world, lit by its normal."""
        light = self.stage.light
        lit = colour * light.on(normal, sunny=self.sunny)
        mirror = gloss * (0.15 + 0.85 * max(0.0, normal[1]))
        lit = lit + (light.haze_rgb - lit) * mirror
        hazy = light.through_air(lit, self.car.z_m)
        self.stage.canvas.polygon(self.stage.project(world), hazy, CAR)

    def outward(self, side: int) -> Normal:
        """Give the world normal of the left (-1) or right (1) flank."""
        cos, sin = math.cos(self.car.heading), math.sin(self.car.heading)
        return (side * cos, 0.0, -side * sin)

    def flank(self, side: int, points: Floats, colour: Floats, *, gloss: float = 0.0) -> None:
        """Fill a facet of a flank that is known to be in sight."""
        self.fill(self.world(points), colour, self.outward(side), gloss)

    def shows(self, side: int) -> bool:
        """Tell whether the lens sees that flank."""
        across, _, ahead = self.outward(side)
        reach = self.car.size_m[1] / 2
        x, z = self.car.x_m + across * reach, self.car.z_m + ahead * reach
        return -across * x - ahead * z > 0


def _reflection(body: Body, pane: Floats) -> None:
    """Mirror something bright and something dark in a (4, 3) pane of glass."""
    for tone in (150.0, 12.0):
        left, right = np.sort(body.stage.rng.uniform(0.04, 0.96, 2))
        low, high = pane[0] + (pane[3] - pane[0]) * left, pane[1] + (pane[2] - pane[1]) * left
        low_end, high_end = pane[0] + (pane[3] - pane[0]) * right, pane[1] + (pane[2] - pane[1]) * right
        body.face(np.stack([low, high, high_end, low_end]), np.full(3, tone), gloss=0.2)


def _top(body: Body, outline: Floats) -> None:
    """Facets across the width, from the rear bumper over the roof to the front, far ones first."""
    car = body.car
    belt = BELT[car.shape] * car.size_m[2] + 0.01
    ahead, up = outline[:, 0], outline[:, 1]
    half = half_width(car, ahead, up)
    left = np.stack([-half, up, ahead], axis=1)
    right = np.stack([half, up, ahead], axis=1)
    quads = np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)
    roof = 0.93 * car.size_m[2]
    middles = body.world(quads.mean(axis=1))
    for at in np.argsort(-np.hypot(middles[:, 0], middles[:, 2])):
        low, high = sorted((up[at], up[at + 1]))
        steep = high - low > 0.3 * abs(ahead[at + 1] - ahead[at])
        glass = steep and low >= belt - 0.04 and low < roof - 0.05
        if glass and not (car.shape == "van" and ahead[at] < 0 and car.braking):
            body.face(quads[at], car.paint, gloss=0.1)
            pane = quads[at].copy()
            pane[:, 0] *= 0.88
            shade = 34.0 + 40.0 * (up[at] - belt) / (roof - belt)
            body.face(pane, np.array([shade, shade + 3, shade + 7]), gloss=0.25)
            _reflection(body, pane)
        else:
            bumper = high < 0.4 * car.size_m[2] and car.paint.mean() < 140 and car.shape != "bus"
            colour = car.paint * (0.5 if bumper else 1.0)
            body.face(quads[at], colour, gloss=0.3)


def _ring(centre: Floats, radius: float, spokes: int = 16) -> Floats:
    turn = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    around = np.stack([np.zeros(spokes), np.sin(turn), np.cos(turn)], axis=1)
    return np.asarray(centre + radius * around)


def _wheels(body: Body, side: int) -> None:
    length, width, height = body.car.size_m
    radius = 0.30 if body.car.shape not in ("van", "bus") else 0.34 + 0.1 * (height > 3)
    for ahead in (-0.31 * length, 0.32 * length):
        hub = np.array([side * (width / 2 + 0.005), radius, ahead])
        arch = _ring(hub + np.array((0, 0.03, 0)), radius * 1.16)
        arch[:, 1] = np.maximum(arch[:, 1], 0.2)
        body.flank(side, arch, np.full(3, 16.0))
        body.flank(side, _ring(hub, radius), np.full(3, 26.0))
        rim = 120.0 if body.car.paint.mean() > 60 else 95.0
        body.flank(side, _ring(hub, radius * 0.64), np.full(3, rim))
        body.flank(side, _ring(hub, radius * 0.5), np.full(3, rim * 0.62))
        body.flank(side, _ring(hub, radius * 0.18), np.full(3, rim))


def _side(body: Body, outline: Floats, side: int) -> None:
    car = body.car
    length, _, height = car.size_m
    belt = BELT[car.shape] * height
    low = outline[:, 1] <= belt
    lower = np.concatenate([outline[low & (outline[:, 0] < 0)], outline[low & (outline[:, 0] > 0)]])
    upper = outline[~low]
    x = side * half_width(car, lower[:, 0], lower[:, 1])
    panel = np.stack([x, lower[:, 1], lower[:, 0]], axis=1)
    edge = side * half_width(car, outline[:, 0], outline[:, 1])
    whole = np.stack([edge, outline[:, 1], outline[:, 0]], axis=1)
    body.flank(side, whole, car.paint * 0.95, gloss=0.1)
    body.flank(side, panel, car.paint, gloss=0.12)
    for frac, tone in ((0.94, 1.2), (0.84, 0.95), (0.62, 0.36), (0.59, 0.8), (0.38, 0.5)):
        band = panel.copy()
        band[:, 1] = np.minimum(band[:, 1], belt * frac)
        body.flank(side, band, car.paint * tone, gloss=0.05)
    if len(upper) < 3:
        return
    x = side * half_width(car, upper[:, 0], upper[:, 1])
    house = np.stack([x, upper[:, 1], upper[:, 0]], axis=1)
    house[[0, -1], 1] = belt
    body.flank(side, house, car.paint * 0.95, gloss=0.12)
    if car.shape == "van":
        house = house[house[:, 2] > 0.08 * length]
    middle = house.mean(axis=0)
    pane = middle + (house - middle) * (1.0, 0.74, 0.86)
    body.flank(side, pane, np.array([36.0, 40.0, 45.0]), gloss=0.3)
    for ahead in (-0.12, 0.09) if car.shape != "bus" else np.linspace(-0.4, 0.4, 6):
        post = np.array([ahead, ahead + 0.015, ahead + 0.015, ahead]) * length
        up = np.array([belt, belt, height * 0.97, height * 0.97])
        x = side * half_width(car, post, up)
        body.flank(side, np.stack([x, up, post], axis=1), car.paint * 0.6)


def _plate(body: Body, ahead: float, box: tuple[float, ...], colour: Floats) -> None:
    """A rectangle (left, low, right, high) in metres on the nose (ahead > 0) or the tail."""
    left, low, right, high = box
    x = np.array([left, right, right, left])
    y = np.array([low, low, high, high])
    points = np.stack([x, y, np.full(4, ahead)], axis=1)
    body.face(points if ahead > 0 else points[::-1], colour)


def _ends(body: Body) -> None:
    length, width, height = body.car.size_m
    tail, nose, edge = -length * 0.503, length * 0.503, width / 2
    high = 0.46 * height if body.car.shape != "bus" else 0.3 * height
    glow = np.array([250.0, 60.0, 50.0]) if body.car.braking else np.array([130.0, 26.0, 24.0])
    lamp = np.array([215.0, 218.0, 220.0])
    for side in (-1, 1):
        inner, outer = sorted((side * (edge - 0.32), side * (edge * 0.93)))
        _plate(body, tail, (inner, high, outer, high + 0.16), glow)
        _plate(body, nose, (inner, high - 0.08, outer, high + 0.08), lamp)
    _plate(body, tail, (-0.26, high - 0.12, 0.26, high), np.array([205.0, 180.0, 60.0]))
    _plate(body, nose, (-0.42, high - 0.12, 0.42, high + 0.04), np.full(3, 30.0))
    _plate(body, nose, (-0.26, high - 0.3, 0.26, high - 0.18), np.full(3, 210.0))
    for end in (tail, nose):
        _plate(body, end, (-0.18, high - 0.08, 0.18, high - 0.05), np.full(3, 40.0))
        low = 0.17 * height if height < 3 else 0.1 * height
        _plate(body, end * 0.985, (-edge * 0.86, 0.1, edge * 0.86, low + 0.1), np.full(3, 20.0))
        for side in (-1, 1):
            inner, outer = sorted((side * (edge - 0.24), side * (edge - 0.04)))
            _plate(body, end * 0.97, (inner, 0.0, outer, low + 0.1), np.full(3, 22.0))


def draw(stage: Stage, car: Vehicle) -> None:
    """Paint the vehicle: the far side is hidden, so ends, top and the near side are enough."""
    body = Body(stage, replace(car, paint=np.clip(car.paint, 8, 235)), stage.sunny(car.x_m, car.z_m))
    outline = profile(car)
    _top(body, outline)
    _ends(body)
    for side in (-1, 1):
        if body.shows(side):
            _side(body, outline, side)
            _wheels(body, side)
