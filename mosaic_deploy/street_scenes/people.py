"""Pedestrians and bicyclists: limbs as rounded rods in space, so any heading looks right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.classes import BICYCLIST, PEDESTRIAN
from mosaic_deploy.street_scenes.stage import Stage, pick

Floats = NDArray[np.float64]
Spot = tuple[float, float, float]

_COATS = (
    (26, 26, 30),
    (32, 36, 52),
    (44, 40, 38),
    (60, 54, 46),
    (90, 28, 30),
    (40, 56, 84),
    (110, 104, 92),
    (52, 66, 48),
    (150, 148, 144),
)
_LEGS = ((28, 28, 32), (36, 44, 64), (50, 48, 46), (84, 78, 66), (24, 24, 26))
_SKINS = ((188, 146, 122), (206, 164, 140), (122, 86, 64), (164, 120, 94))
_HAIRS = ((34, 28, 24), (70, 52, 36), (120, 96, 62), (110, 108, 106), (24, 24, 26))
_BRIGHT = ((196, 214, 60), (220, 120, 40), (180, 40, 40), (70, 110, 180))


@dataclass(frozen=True, slots=True)
class Person:
    """Stands at (x, z) metres, turned ``heading`` radians right of ahead; rides if ``riding``."""

    x_m: float
    z_m: float
    heading: float
    tall_m: float
    stride: float
    riding: bool
    coat: Floats
    legs: Floats
    skin: Floats
    hair: Floats
    long_coat: bool
    bag: bool


def sample(rng: np.random.Generator, *, x_m: float, z_m: float, heading: float, riding: bool) -> Person:
    """Draw a person for a place."""
    bright = rng.random() < (0.25 if riding else 0.1)
    return Person(
        x_m=x_m,
        z_m=z_m,
        heading=heading,
        tall_m=rng.uniform(1.58, 1.88),
        stride=rng.uniform(-1.0, 1.0),
        riding=riding,
        coat=pick(rng, _BRIGHT if bright else _COATS),
        legs=pick(rng, _LEGS),
        skin=pick(rng, _SKINS),
        hair=pick(rng, _HAIRS),
        long_coat=bool(rng.random() < 0.3),
        bag=bool(rng.random() < 0.35),
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """A person being drawn; points are (right, up, ahead) metres in the person's own axes."""

    stage: Stage
    person: Person
    label: int
    light: Floats

    def spot(self, point: Spot) -> Floats:
        """Project a point of the body to (2,) canvas pixels."""
        return np.asarray(self.spots((point,))[0], dtype=np.float64)

    def spots(self, points: Sequence[Spot]) -> Floats:
        """Project points of the body to (N, 2) canvas pixels."""
        cos, sin = math.cos(self.person.heading), math.sin(self.person.heading)
        turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        place = (self.person.x_m, 0.0, self.person.z_m)
        return self.stage.project(np.array(points) @ turn + place)

    def scale(self) -> float:
        """Canvas pixels per metre at the person."""
        return self.stage.camera.pixels_per_metre(self.person.z_m)

    def tone(self, colour: Floats) -> Floats:
        """Light a colour as it stands."""
        return self.stage.light.through_air(colour * self.light, self.person.z_m)

    def rod(self, joints: tuple[Spot, ...], thick_m: float, colour: Floats) -> None:
        """Draw a bent limb ``thick_m`` wide with round joints."""
        points = self.spots(joints)
        width = max(1.0, thick_m * self.scale())
        tone = self.tone(colour)
        self.stage.canvas.line(points, tone, self.label, width_px=width)
        if width >= 3:
            for point in points:
                self.stage.canvas.disc(point, (width / 2, width / 2), tone, self.label)

    def ball(self, centre: Spot, radii_m: tuple[float, float], colour: Floats) -> None:
        """Draw an upright ellipse facing the lens."""
        scale = self.scale()
        radii = (radii_m[0] * scale, radii_m[1] * scale)
        self.stage.canvas.disc(self.spot(centre), radii, self.tone(colour), self.label)


def _trunk(figure: Figure, shoulder: Spot, hip: Spot, wide_m: tuple[float, float]) -> None:
    """Draw the torso as a tapered slab, narrower when seen from the side, lit on one flank."""
    top, low = figure.spot(shoulder), figure.spot(hip)
    scale = figure.scale()
    turned = abs(np.cos(figure.person.heading))
    halves = [(0.12 + (wide / 2 - 0.12) * turned) * scale for wide in wide_m]
    across = np.array([-1.0, 1.0, 1.0, -1.0])
    reach = np.array([halves[0] * 0.82, halves[0] * 0.82, halves[1], halves[1]])
    points = np.stack([top, top, low, low]) + np.stack([across * reach, np.zeros(4)], axis=1)
    drop = np.array([0.0, 0.07 * scale])
    broad = np.stack([top - (halves[0], 0), top + np.array((halves[0], 0))]) + drop
    outline = np.stack([points[0], points[1], broad[1], points[2], points[3], broad[0]])
    tone = figure.tone(figure.person.coat)
    figure.stage.canvas.polygon(outline, tone, figure.label)
    middle = (outline[[0, 1]].mean(axis=0), outline[[3, 4]].mean(axis=0))
    lit_left = figure.stage.light.sun[0] < 0
    flank = np.stack([middle[0], *(outline[1:4] if lit_left else outline[[0, 5, 4]]), middle[1]])
    figure.stage.canvas.polygon(flank, tone * 0.62, figure.label)
    if figure.person.stride > -0.4:
        collar = np.stack(
            [
                top - (halves[0] * 0.3, 0),
                top + np.array((halves[0] * 0.3, 0)),
                broad.mean(axis=0) * 0.6 + low * 0.4,
            ]
        )
        figure.stage.canvas.polygon(collar, figure.tone(figure.person.skin * 0.5 + 80), figure.label)


def _head(figure: Figure, at: Spot) -> None:
    person = figure.person
    facing = -np.cos(person.heading)
    figure.rod((at, (at[0], at[1] - 0.16, at[2])), 0.11, person.skin * 0.8)
    figure.ball((at[0], at[1] + 0.015, at[2]), (0.1, 0.135), person.hair)
    if facing > -0.6:
        figure.ball((at[0], at[1] - 0.025, at[2] + 0.05), (0.08, 0.1), person.skin)


def _walker(figure: Figure) -> None:
    person = figure.person
    tall, swing = person.tall_m, person.stride
    hip, shoulder = 0.53 * tall, 0.82 * tall
    for side in (-1, 1):
        foot = 0.33 * swing * side
        knee = (0.09 * side, hip * 0.5, foot * 0.6 + 0.05)
        ankle = (0.09 * side, 0.06, foot)
        figure.rod(((0.085 * side, hip, 0.0), knee, ankle), 0.135, person.legs * (0.9 + 0.1 * side))
        figure.rod((ankle, (0.09 * side, 0.04, foot + 0.14)), 0.08, person.hair * 0.6)
    hem = 0.36 * tall if person.long_coat else 0.48 * tall
    for side in (-1, 1):
        hand = (0.25 * side, hip * 0.95, -0.26 * swing * side)
        elbow = (0.25 * side, 0.64 * tall, -0.12 * swing * side - 0.03)
        arm = ((0.2 * side, shoulder - 0.03, 0.0), elbow, hand)
        figure.rod(arm, 0.095, person.coat * (0.8 + 0.06 * side))
        figure.ball(hand, (0.045, 0.05), person.skin)
    _trunk(figure, (0.0, shoulder + 0.02, 0.0), (0.0, hem, 0.0), (0.44, 0.36))
    if person.bag:
        figure.ball((0.24, hip * 1.02, 0.0), (0.13, 0.17), person.legs * 1.3 + 12)
    _head(figure, (0.0, 0.925 * tall, 0.02))


def _wheel(figure: Figure, ahead: float) -> None:
    """Draw a tyre around spokes blurred by their spin; both count as the bicyclist."""
    turn = np.linspace(0, 2 * np.pi, 18)
    rim = [(0.0, 0.34 + 0.33 * float(np.sin(at)), ahead + 0.33 * float(np.cos(at))) for at in turn]
    points = figure.spots(rim)
    canvas = figure.stage.canvas
    if np.ptp(points[:, 0]) > 0.12 * figure.scale():
        canvas.polygon(points, figure.tone(np.array([74.0, 74.0, 76.0])), figure.label)
    width = max(1.5, 0.06 * figure.scale())
    canvas.line(points, figure.tone(np.full(3, 22.0)), figure.label, width_px=width)


def _rider(figure: Figure) -> None:
    person = figure.person
    frame = figure.person.legs * 0.3 + np.array([60.0, 30.0, 34.0])
    saddle, crank, bars = (0.0, 0.94, -0.2), (0.0, 0.3, 0.02), (0.0, 1.02, 0.4)
    for ahead in (-0.52, 0.54) if np.cos(person.heading) < 0 else (0.54, -0.52):
        _wheel(figure, ahead)
    for tube in (
        ((0.0, 0.34, -0.52), crank, saddle, (0.0, 0.34, -0.52)),
        (crank, (0.0, 0.8, 0.38), (0.0, 0.82, -0.16)),
        ((0.0, 0.34, 0.54), bars),
        ((-0.27, 1.03, 0.38), (0.27, 1.03, 0.38)),
    ):
        figure.rod(tube, 0.045, frame)
    turn = person.stride * np.pi
    for side in (-1, 1):
        x = 0.1 * side
        pedal = (x, 0.3 + 0.17 * np.sin(turn) * side, 0.02 + 0.17 * np.cos(turn) * side)
        knee = (x * 1.2, 0.68 + 0.1 * np.sin(turn) * side, 0.2)
        figure.rod(((x, 0.95, -0.18), knee, pedal), 0.13, person.legs)
        figure.rod((pedal, (x, pedal[1] - 0.02, pedal[2] + 0.13)), 0.08, person.hair * 0.5)
    shoulder = (0.0, 1.44, 0.06)
    for side in (-1, 1):
        arm = ((0.19 * side, 1.4, 0.06), (0.26 * side, 1.2, 0.2), (0.24 * side, 1.05, 0.38))
        figure.rod(arm, 0.09, person.coat * 0.85)
    _trunk(figure, shoulder, (0.0, 0.92, -0.2), (0.44, 0.36))
    _head(figure, (0.0, 1.6, 0.12))


def footprint(person: Person) -> Floats:
    """Give the (4, 3) ground corners, for the shadow."""
    half = (0.2, 0.8) if person.riding else (0.2, 0.2)
    x = person.x_m + np.array([-1.0, 1.0, 1.0, -1.0]) * half[0]
    z = person.z_m + np.array([-1.0, -1.0, 1.0, 1.0]) * half[1]
    return np.stack([x, np.zeros(4), z], axis=1)


def draw(stage: Stage, person: Person) -> None:
    """Paint the person, walking or riding."""
    sunny = stage.sunny(person.x_m, person.z_m)
    lit = stage.light.on((0.0, 0.3, -0.9), sunny=sunny) * 0.5
    lit = lit + stage.light.on((float(np.sign(stage.light.sun[0])), 0.2, 0.0), sunny=sunny) * 0.5
    figure = Figure(stage, person, BICYCLIST if person.riding else PEDESTRIAN, lit)
    if person.riding:
        _rider(figure)
    else:
        _walker(figure)
