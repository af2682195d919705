"""Railings, board fences, garden walls and hedges that run along the street."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mosaic_deploy.street_scenes.classes import BUILDING, FENCE, TREE
from mosaic_deploy.street_scenes.stage import Stage, pick
from mosaic_deploy.street_scenes.street import Street, apart

Floats = NDArray[np.float64]
Span = tuple[float, float]

_TONES = {
    "railing": ((30, 32, 34), (120, 122, 122), (150, 150, 146), (36, 54, 44)),
    "boards": ((116, 94, 72), (132, 118, 100), (96, 78, 60), (110, 112, 108)),
    "wall": ((128, 96, 72), (150, 132, 100), (120, 116, 108)),
    "hedge": ((64, 76, 40), (76, 84, 48), (50, 62, 36)),
}
_EXTRA_M = {"railing": 0.0, "boards": 0.5, "wall": 0.0, "hedge": 0.3}


@dataclass(frozen=True, slots=True)
class Barrier:
    """Runs at ``across_m``; railings have a bar every ``gap_m`` and dim what shows by ``veil``."""

    kind: str
    across_m: float
    height_m: float
    colour: Floats
    gap_m: float
    veil: float

    def quad(self, street: Street, span_m: Span) -> Floats:
        """Give a stretch as a (4, 3) quad, clockwise from the near top corner."""
        top = street.at(self.across_m, np.array(span_m), self.height_m)
        low = street.at(self.across_m, np.array(span_m), 0.0)
        return np.stack([top[0], top[1], low[1], low[0]])

    def lit(self, stage: Stage, span_m: Span, *, up: float = 0.0) -> Floats:
        """Give the colour of a stretch as the light falls on its street side."""
        middle = (span_m[0] + span_m[1]) / 2
        normal = (-float(np.sign(self.across_m)), up, -0.2)
        sunny = stage.sunny(self.across_m * 0.97, middle)
        return stage.light.through_air(self.colour * stage.light.on(normal, sunny=sunny), middle)


def sample(rng: np.random.Generator, *, across_m: float) -> Barrier:
    """Draw what closes off a plot: mostly railings or boards, else a wall or a hedge."""
    kind = str(rng.choice(tuple(_TONES), p=(0.46, 0.26, 0.14, 0.14)))
    return Barrier(
        kind=kind,
        across_m=across_m,
        height_m=rng.uniform(0.9, 1.5) + _EXTRA_M[kind],
        colour=pick(rng, _TONES[kind]),
        gap_m=rng.uniform(0.11, 0.16),
        veil=rng.uniform(0.2, 0.4),
    )


def guard(rng: np.random.Generator, *, across_m: float) -> Barrier:
    """Draw the railing that keeps walkers off the road."""
    tone = pick(rng, _TONES["railing"])
    return Barrier("railing", across_m, 1.05, tone, rng.uniform(0.11, 0.16), rng.uniform(0.2, 0.35))


def pieces(span_m: Span) -> list[Span]:
    """Cut a span into stretches short enough to be drawn in turn with what stands beside them."""
    cuts = [span_m[0]]
    while cuts[-1] < span_m[1]:
        cuts.append(min(span_m[1], cuts[-1] * 1.22 + 0.6))
    return list(itertools.pairwise(cuts))


def _bars(stage: Stage, points: Floats, count: int, colour: Floats) -> None:
    """Stroke two rails and ``count`` upright bars over a (4, 2) projected quad."""
    thick = float(points[3, 1] - points[0, 1]) * 0.06
    canvas = stage.canvas
    ahead = np.linspace(0.0, 1.0, count)
    shrink = (points[2, 1] - points[1, 1]) / max(float(points[3, 1] - points[0, 1]), 1e-6)
    bent = ahead / (ahead + (1 - ahead) * max(float(shrink), 1e-3))
    top = points[0] + (points[1] - points[0]) * bent[:, None]
    low = points[3] + (points[2] - points[3]) * bent[:, None]
    for at in range(count):
        canvas.line(np.stack([top[at], low[at]]), colour, FENCE, width_px=thick * 0.6)
    for level in (0.03, 0.9):
        rail = points[[0, 1]] * (1 - level) + points[[3, 2]] * level
        canvas.line(rail, colour, FENCE, width_px=thick)


def _railing(stage: Stage, street: Street, barrier: Barrier, span_m: Span) -> None:
    """Paint open railings; what shows between the bars is dimmed and counts as fence."""
    tone = barrier.lit(stage, span_m)
    points = stage.project(barrier.quad(street, span_m))
    box = stage.canvas.clip(points)
    if box is None:
        return
    mask = Image.new("L", (box[2] - box[0], box[3] - box[1]))
    ImageDraw.Draw(mask).polygon((points - box[:2]).ravel().tolist(), fill=1)
    dense = barrier.veil if span_m[0] < 14 else barrier.veil + 0.2
    stage.canvas.blend(box, tone * 0.8, np.asarray(mask, dtype=np.float32) * np.float32(dense), FENCE)
    if span_m[0] < 30:
        _bars(stage, points, int((span_m[1] - span_m[0]) / barrier.gap_m) + 2, tone)


def _boards(stage: Stage, street: Street, barrier: Barrier, span_m: Span) -> None:
    """Paint close boards between two rails, and the post at the near end."""
    wide = int(np.clip((span_m[1] - span_m[0]) * 30, 8, 300))
    board = np.repeat(stage.rng.normal(1.0, 0.17, wide // 4 + 1), 4)[:wide]
    board[::4] *= 0.5
    rows = np.ones((40, 1))
    rows[[0, 1, 38, 39]] = 0.8
    grain = 1.0 + 0.09 * stage.noise.crop(stage.noise.white, (40, wide), stage.rng)
    texture = np.clip((board * rows * grain)[..., None] * barrier.lit(stage, span_m), 0, 255)
    quad = stage.project(barrier.quad(street, span_m))
    stage.canvas.stamp(Image.fromarray(texture.astype(np.uint8)), quad, FENCE)
    post = street.at(barrier.across_m, span_m[0] + np.array([0.0, 0.12, 0.12, 0.0]))
    post[:, 1] = np.array([0.0, 0.0, 1.0, 1.0]) * (barrier.height_m + 0.08)
    stage.canvas.polygon(stage.project(post), barrier.lit(stage, span_m) * 0.75, FENCE)


def _wall(stage: Stage, street: Street, barrier: Barrier, span_m: Span) -> None:
    """Paint a low wall and its coping; like CamVid, walls count as building."""
    tone = barrier.lit(stage, span_m)
    face = barrier.quad(street, span_m)
    points = stage.project(face)
    stage.canvas.polygon(points, tone, BUILDING)
    box = stage.canvas.clip(points)
    if box is not None:
        stage.grain(points, box, amount=0.14, grain_px=1.0)
    cap = np.concatenate([face[:2] + np.array((0.0, 0.1, 0.0)), face[1::-1]])
    stage.canvas.polygon(stage.project(cap), tone * 0.7 + 40, BUILDING)


def _hedge(stage: Stage, street: Street, barrier: Barrier, span_m: Span) -> None:
    """Paint a clipped hedge with a ragged top and leafy texture."""
    steps = apart(span_m, max(3, int((span_m[1] - span_m[0]) * 2)))
    top = barrier.height_m + stage.rng.normal(0, 0.06, steps.size)
    low = street.at(barrier.across_m, steps)
    points = stage.project(np.concatenate([low, street.at(barrier.across_m, steps, top)[::-1]]))
    box = stage.canvas.clip(points)
    if box is not None:
        stage.canvas.polygon(points, barrier.lit(stage, span_m, up=0.5), TREE)
        grain_px = max(1.0, stage.camera.pixels_per_metre(span_m[0]) * 0.015)
        stage.grain(points, box, amount=0.34, grain_px=grain_px)


_PAINTERS = {"railing": _railing, "boards": _boards, "wall": _wall, "hedge": _hedge}


def draw(stage: Stage, street: Street, barrier: Barrier, span_m: Span) -> None:
    """Paint one stretch of the barrier."""
    _PAINTERS[barrier.kind](stage, street, barrier, span_m)
