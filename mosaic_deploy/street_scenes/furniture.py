"""Street furniture: lamp posts, bollards, signs, traffic lights, fences, walls and clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.classes import POLE, SIGN, UNLABELLED
from mosaic_deploy.street_scenes.stage import Stage, grey, pick
from mosaic_deploy.street_scenes.street import Street

Floats = NDArray[np.float64]

_TO_LENS = np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True, slots=True)
class Post:
    """A pole at (x, z) metres; ``top`` names what it carries, ``arm_m`` reaches over the road."""

    x_m: float
    z_m: float
    tall_m: float
    thick_m: float
    arm_m: float
    top: str
    colour: Floats


def sample(rng: np.random.Generator, *, x_m: float, z_m: float, top: str) -> Post:
    """Draw a post carrying a lamp, lights, sign, board, or (bollard) nothing."""
    tall = {
        "lamp": rng.uniform(5.5, 9.5),
        "lights": rng.uniform(3.0, 3.6),
        "sign": rng.uniform(2.3, 3.2),
        "board": rng.uniform(2.6, 3.6),
        "bollard": rng.uniform(0.9, 1.15),
    }[top]
    shades = (
        (60, 62, 62),
        (150, 154, 154),
        (112, 116, 114),
        (40, 42, 42),
        (70, 92, 80),
        (172, 174, 172),
    )
    return Post(
        x_m=x_m,
        z_m=z_m,
        tall_m=tall,
        thick_m=rng.uniform(0.11, 0.16) if top in ("lamp", "bollard") else rng.uniform(0.08, 0.11),
        arm_m=-np.sign(x_m) * rng.uniform(0.6, 2.2) if top == "lamp" else 0.0,
        top=top,
        colour=pick(rng, shades),
    )


def _bar(stage: Stage, post: Post, low: Floats, high: Floats, thick_m: float) -> None:
    """Draw a straight bar between two (3,) world points, lit on one side."""
    ends = stage.project(np.stack([low, high]))
    wide = max(thick_m * stage.camera.pixels_per_metre(float(low[2])), stage.canvas.size[1] / 230)
    sunny = stage.sunny(post.x_m, post.z_m)
    lit = post.colour * stage.light.on((np.sign(stage.light.sun[0]), 0, -0.3), sunny=sunny)
    lit = stage.light.through_air(lit, post.z_m)
    along = ends[1] - ends[0]
    normal = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-6)
    sides = [ends[0] - normal * wide / 2, ends[0] + normal * wide / 2]
    sides += [ends[1] + normal * wide / 2, ends[1] - normal * wide / 2]
    stage.canvas.polygon(np.stack(sides), lit, POLE)
    if wide >= 4:
        dark = np.stack([sides[0], (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2, sides[3]])
        stage.canvas.polygon(dark, lit * 0.68, POLE)


def _panel(stage: Stage, outline: Floats, colour: Floats, at: Floats) -> None:
    """Fill a flat sign part: (N, 2) metres around the (3,) world point ``at``, facing us."""
    points = np.concatenate([outline + at[:2], np.full((len(outline), 1), at[2])], axis=1)
    sunny = stage.sunny(float(at[0]), float(at[2]))
    stage.paint(points, colour, SIGN, normal=_TO_LENS, sunny=sunny)


def _polygon(sides: int, radius: float, *, turn: float = 0.0) -> Floats:
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False) + turn
    return np.asarray(radius * np.stack([np.sin(around), np.cos(around)], axis=1))


def _rectangle(wide: float, tall: float) -> Floats:
    return np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2


def _sign(stage: Stage, post: Post) -> None:
    rng = stage.rng
    radius = rng.uniform(0.32, 0.46)
    at = np.array([post.x_m, post.tall_m - radius, post.z_m - 0.06])
    red, white = np.array([176.0, 30.0, 36.0]), np.array([226.0, 226.0, 224.0])
    blue, black = np.array([36.0, 76.0, 160.0]), np.full(3, 30.0)
    kind = int(rng.integers(6))
    if kind == 0:
        _panel(stage, _polygon(16, radius), red, at)
        _panel(stage, _polygon(16, radius * 0.74), white, at)
        _panel(stage, _rectangle(radius * 0.7, radius * 0.5), black, at)
    elif kind == 1:
        _panel(stage, _polygon(3, radius * 1.3, turn=0.0), red, at)
        _panel(stage, _polygon(3, radius * 0.85, turn=0.0), white, at)
        _panel(stage, _rectangle(radius * 0.22, radius * 0.5), black, at)
    elif kind == 2:
        _panel(stage, _polygon(16, radius), blue, at)
        _panel(stage, _rectangle(radius * 0.35, radius * 1.1), white, at)
    elif kind == 3:
        _panel(stage, _polygon(16, radius), red, at)
        _panel(stage, _rectangle(radius * 1.3, radius * 0.36), white, at)
    elif kind == 4:
        _panel(stage, _polygon((3, 16)[int(rng.integers(2))], radius), grey(rng, 90, 150), at)
    else:
        _panel(stage, _rectangle(radius * 1.5, radius * 2.0), white, at)
        _panel(stage, _rectangle(radius * 1.3, radius * 1.75), blue, at)
        _panel(stage, _rectangle(radius * 0.5, radius * 1.0), white, at)
    if rng.random() < 0.3:
        below = at - (0.0, radius * 1.6, 0.0)
        _panel(stage, _rectangle(radius * 1.7, radius * 0.8), white, below)
        _panel(stage, _rectangle(radius * 1.3, radius * 0.2), black, below)


def _board(stage: Stage, post: Post) -> None:
    rng = stage.rng
    wide, tall = rng.uniform(0.8, 1.8), rng.uniform(0.6, 1.2)
    at = np.array([post.x_m, post.tall_m - tall / 2, post.z_m - 0.06])
    fills = ((36, 84, 60), (222, 222, 220), (36, 70, 150), (150, 30, 34), (210, 180, 50))
    fill = pick(rng, fills)
    ink = np.full(3, 225.0) if fill.mean() < 140 else np.full(3, 40.0)
    _panel(stage, _rectangle(wide, tall), ink, at)
    _panel(stage, _rectangle(wide - 0.08, tall - 0.08), fill, at)
    for row in np.arange(-tall / 2 + 0.22, tall / 2 - 0.1, 0.26):
        length = wide * rng.uniform(0.4, 0.8)
        _panel(stage, _rectangle(length, 0.1), ink, at + np.array((0.0, float(row), 0.0)))


def _lights(stage: Stage, post: Post) -> None:
    rng = stage.rng
    at = np.array([post.x_m, post.tall_m - 0.35, post.z_m - 0.1])
    if rng.random() < 0.6:
        _panel(stage, _rectangle(0.62, 1.3), np.full(3, 150.0), at)
        _panel(stage, _rectangle(0.56, 1.24), np.full(3, 26.0), at)
    _panel(stage, _rectangle(0.4, 1.1), np.full(3, 20.0), at)
    lit = int(rng.integers(4))
    glows = ((255.0, 40.0, 30.0), (255.0, 170.0, 40.0), (60.0, 255.0, 170.0))
    centre = stage.project(at[None, :])[0]
    scale = stage.camera.pixels_per_metre(post.z_m)
    for index, glow in enumerate(glows):
        colour = np.array(glow) if index == lit % 3 else np.array(glow) * 0.18
        spot = centre + np.array((0.0, (index - 1) * 0.34 * scale))
        radius = 0.13 * scale
        stage.canvas.disc(spot, (radius, radius), colour, SIGN)


def _lantern(stage: Stage, post: Post) -> None:
    head = np.array([post.x_m + post.arm_m, post.tall_m + 0.25, post.z_m])
    top = np.array([post.x_m, post.tall_m, post.z_m])
    _bar(stage, post, top, head, post.thick_m * 0.7)
    reach = 0.35 * np.sign(post.arm_m)
    _bar(stage, post, head - (reach * 0.5, 0, 0), head + np.array((reach, 0.0, 0.0)), 0.22)


def draw(stage: Stage, post: Post) -> None:
    """Paint the post and what it carries; posts under two picture pixels wide are left out."""
    if post.top == "lamp" and post.z_m > 45.0:
        return
    foot = np.array([post.x_m, 0.0, post.z_m])
    top = np.array([post.x_m, post.tall_m, post.z_m])
    _bar(stage, post, foot, top, post.thick_m)
    if post.top in ("lamp", "lights"):
        _bar(stage, post, foot, foot + np.array((0.0, 1.0, 0.0)), post.thick_m * 1.5)
    {
        "lamp": _lantern,
        "lights": _lights,
        "sign": _sign,
        "board": _board,
        "bollard": _band,
    }[post.top](stage, post)


def _band(stage: Stage, post: Post) -> None:
    pale = Post(post.x_m, post.z_m, 0.0, 0.0, 0.0, "bollard", np.full(3, 190.0))
    low = np.array([post.x_m, post.tall_m * 0.75, post.z_m])
    _bar(stage, pale, low, low + np.array((0.0, 0.1, 0.0)), post.thick_m)


def footprint(post: Post) -> Floats:
    """Give the (4, 3) ground corners, for the shadow."""
    half = post.thick_m / 2
    x = post.x_m + np.array([-1.0, 1.0, 1.0, -1.0]) * half
    z = post.z_m + np.array([-1.0, -1.0, 1.0, 1.0]) * half
    return np.stack([x, np.zeros(4), z], axis=1)


def bin_box(stage: Stage, street: Street, across_m: float, ahead_m: float) -> None:
    """Paint a litter bin, cabinet or post box: clutter that carries no class."""
    tall, wide = stage.rng.uniform(0.9, 1.5), stage.rng.uniform(0.45, 0.8)
    colour = pick(stage.rng, ((40, 60, 46), (150, 30, 32), (70, 72, 74), (30, 32, 36)))
    half = wide / 2
    front = street.at(across_m + np.array([-half, half, half, -half]), ahead_m)
    front[:, 1] = (0.0, 0.0, tall, tall)
    inner = across_m - np.sign(across_m) * half
    flank = street.at(inner, ahead_m + np.array([0.0, wide, wide, 0.0]))
    flank[:, 1] = (0.0, 0.0, tall, tall)
    stage.paint(flank, colour * 0.8, UNLABELLED, normal=np.array((-np.sign(across_m), 0.0, 0.0)))
    stage.paint(front, colour, UNLABELLED, normal=_TO_LENS)
    lid = front + np.array((0.0, 0.0, -0.01))
    lid[:, 1] = (tall * 0.75, tall * 0.75, tall * 0.85, tall * 0.85)
    stage.paint(lid, colour * 0.4, UNLABELLED, normal=_TO_LENS)
