"""The ground: road, kerbs, pavements and verges, with paint, wear and cast shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.canvas import SUPER
from mosaic_deploy.street_scenes.classes import PAVEMENT, ROAD, TREE
from mosaic_deploy.street_scenes.noise import SIDE
from mosaic_deploy.street_scenes.stage import Stage, grey
from mosaic_deploy.street_scenes.street import FAR_M, NEAR_M, Junction, Street, apart

Floats = NDArray[np.float64]

_UP = np.array([0.0, 1.0, 0.0])
_BEYOND_M = 70.0


@dataclass(frozen=True, slots=True)
class Palette:
    """RGB colours of one scene's ground, in [0, 255] under full light."""

    road: Floats
    pavement: Floats
    kerb: Floats
    paint: Floats
    grass: Floats


def _colours(rng: np.random.Generator) -> Palette:
    return Palette(
        road=grey(rng, 74, 112, tint=1.5) + np.array((0.0, 1.5, 5.0)),
        pavement=grey(rng, 80, 124, tint=3.0),
        kerb=grey(rng, 118, 160),
        paint=grey(rng, 178, 225),
        grass=np.array([92.0, 104.0, 58.0]) * rng.uniform(0.7, 1.1) + rng.normal(0, 8, 3),
    )


def _steps(start: float, end: float) -> Floats:
    return apart((start, end), max(2, int(np.ceil(np.log(end / start) * 8)) + 1))


def _strip(street: Street, across: tuple[float, float], ahead: tuple[float, float]) -> Floats:
    """Outline the (N, 3) band between two offsets, from one distance to another."""
    steps = _steps(*ahead)
    left, right = street.at(across[0], steps), street.at(across[1], steps)
    return np.concatenate([left, right[::-1]])


def _flat(stage: Stage, points: Floats, colour: Floats, label: int) -> None:
    """Fill a ground polygon with its unlit colour; light and haze come in ``finish``."""
    stage.canvas.polygon(stage.project(points), colour, label)


def _verges(stage: Stage, street: Street, colours: Palette) -> None:
    looks = {
        "grass": (colours.grass, TREE),
        "paved": (colours.pavement * 0.93, PAVEMENT),
        "asphalt": (colours.road * 1.05, ROAD),
    }
    for side, verge in zip((-1, 1), street.verge, strict=True):
        colour, label = looks[verge]
        across = (street.kerb(side), side * _BEYOND_M * 3)
        _flat(stage, _strip(street, across, (NEAR_M, 390.0)), colour, label)


def _slabs(stage: Stage, street: Street, side: int, colour: Floats) -> None:
    low, high = street.kerb(side), street.edge(side)
    for ahead in np.arange(3.0, 22.0, stage.rng.uniform(0.6, 1.0)):
        line = stage.project(street.at(np.array([low, high]), float(ahead)))
        stage.canvas.line(line, colour, PAVEMENT)
    for across in np.linspace(low, high, int(stage.rng.integers(3, 6)))[1:-1]:
        run = stage.project(street.at(float(across), _steps(NEAR_M, 25.0)))
        stage.canvas.line(run, colour, PAVEMENT)


def _pavement(stage: Stage, street: Street, side: int, colours: Palette) -> None:
    kerb, edge = street.kerb(side), street.edge(side)
    reach = (NEAR_M, FAR_M)
    _flat(stage, _strip(street, (kerb, edge), reach), colours.pavement, PAVEMENT)
    if stage.rng.random() < 0.6:
        _slabs(stage, street, side, colours.pavement * stage.rng.uniform(0.82, 0.92))
    _flat(stage, _strip(street, (kerb, kerb + side * 0.16), reach), colours.kerb, PAVEMENT)
    _flat(stage, _strip(street, (kerb, kerb + side * 0.06), reach), colours.kerb * 0.6, PAVEMENT)


def _side_road(stage: Stage, street: Street, road: Junction, colours: Palette) -> None:
    kerb, side = street.kerb(road.side), road.side
    turn = np.linspace(0.0, np.pi / 2, 6)
    radius = min(3.0, abs(street.edge(side) - kerb))
    out, along = radius * (1 - np.sin(turn)), radius * (1 - np.cos(turn))
    near = street.at(kerb + side * out[::-1], road.start_m - along[::-1])
    far = street.at(kerb + side * out, road.end_m + along)
    tails = [
        street.at(kerb + side * _BEYOND_M, road.end_m),
        street.at(kerb + side * _BEYOND_M, road.start_m),
    ]
    outline = np.concatenate([near, tails[1], tails[0], far[::-1]])
    _flat(stage, outline, colours.road * stage.rng.uniform(0.94, 1.05), ROAD)
    if stage.rng.random() < 0.7:
        for ahead in np.arange(road.start_m + 0.4, road.end_m - 0.4, 1.0):
            dash = (float(ahead), float(ahead) + 0.55)
            _flat(stage, _strip(street, (kerb, kerb - side * 0.2), dash), colours.paint, ROAD)


def _wear(stage: Stage, street: Street, colours: Palette) -> None:
    rng = stage.rng
    for _ in range(int(rng.integers(2, 7))):
        across = rng.uniform(street.kerb_m[0], street.kerb_m[1] - 1.0)
        ahead = rng.uniform(3.0, 40.0)
        across_to = min(across + rng.uniform(0.6, 3.0), street.kerb_m[1])
        patch = _strip(street, (across, across_to), (ahead, ahead + rng.uniform(1.0, 14.0)))
        _flat(stage, patch, colours.road * rng.uniform(0.86, 1.1), ROAD)
    if rng.random() < 0.8:
        at = street.at(rng.uniform(*street.kerb_m), rng.uniform(5.0, 18.0))
        ring = np.linspace(0, 2 * np.pi, 14)
        cover = at + 0.33 * np.stack([np.cos(ring), 0 * ring, np.sin(ring)], axis=1)
        _flat(stage, cover, colours.road * 0.6, ROAD)


def finish(stage: Stage, contact: NDArray[np.float32]) -> None:
    """Turn the flat ground into a lit, worn and shadowed one; call before objects stand on it.

    ``contact`` is the (H, W) picture-sized map of how much light things resting on it take.
    """
    wide, tall = stage.canvas.size
    x, z = stage.camera.ground((tall // SUPER, wide // SUPER), step=SUPER)
    top = int(np.argmax((z > 0).any(axis=1)))
    x, z = x[top:], z[top:]
    near = np.exp(z / np.float32(-9.0))
    factor = 1 + np.float32(0.03) * np.cos(x * np.float32(2 * np.pi / 1.7))
    spans = ((0.025, 0.04, stage.noise.white), (0.12, 0.025, stage.noise.clumpy))
    for span_m, weight, field in (*spans, (0.9, 0.05, stage.noise.cloudy)):
        rows = (z * np.float32(1 / span_m)).astype(np.int32) & (SIDE - 1)
        cols = (x * np.float32(1 / span_m)).astype(np.int32) & (SIDE - 1)
        grain = field.ravel().take(rows * SIDE + cols) * np.float32(weight)
        factor += grain * near if span_m < 0.5 else grain
    factor *= 1 - contact[top:]
    full, dim = stage.light.on(_UP), stage.light.on(_UP, sunny=False)
    gain = (full - dim).astype(np.float32)
    lit = full.astype(np.float32) - stage.shade[top:, :, None] * gain
    light = np.where(z[..., None] > 0, factor[..., None] * lit, np.float32(1))
    stage.canvas.tint((0, top * SUPER, wide, tall), light)


def paint(stage: Stage, street: Street) -> None:
    """Draw the ground without its light: verges, pavements, road, side roads and markings."""
    colours = _colours(stage.rng)
    _verges(stage, street, colours)
    _flat(stage, _strip(street, street.kerb_m, (NEAR_M, 390.0)), colours.road, ROAD)
    for side in (-1, 1):
        _pavement(stage, street, side, colours)
    for road in street.junctions:
        _side_road(stage, street, road, colours)
    _wear(stage, street, colours)
    _markings(stage, street, colours.paint)


def _dashes(stage: Stage, street: Street, across: float, colour: Floats) -> None:
    dash, gap = ((2.0, 4.0), (4.0, 2.0), (1.0, 5.0))[int(stage.rng.integers(3))]
    width = stage.rng.uniform(0.10, 0.16)
    for ahead in np.arange(stage.rng.uniform(1.5, 5.0), 90.0, dash + gap):
        span = (float(ahead), float(ahead) + dash)
        _flat(stage, _strip(street, (across - width / 2, across + width / 2), span), colour, ROAD)


def _kerb_lines(stage: Stage, street: Street, side: int) -> None:
    yellow = np.array([196.0, 168.0, 70.0]) * stage.rng.uniform(0.8, 1.05)
    for offset in (0.25, 0.5)[: int(stage.rng.integers(1, 3))]:
        across = street.kerb(side) - side * offset
        reach = (NEAR_M, stage.rng.uniform(30.0, 80.0))
        _flat(stage, _strip(street, (across, across - side * 0.09), reach), yellow, ROAD)


def _arrow(stage: Stage, street: Street, colour: Floats) -> None:
    at, across = stage.rng.uniform(6.0, 16.0), stage.rng.normal(0.0, 0.4)
    shaft = street.at(across + np.array([-0.1, 0.1, 0.1, -0.1]), at + np.array([0, 0, 2.2, 2.2]))
    head = street.at(across + np.array([-0.4, 0.4, 0.0]), at + np.array([2.2, 2.2, 4.0]))
    for part in (shaft, head):
        _flat(stage, part, colour, ROAD)


def _crossing(stage: Stage, street: Street, colour: Floats) -> None:
    at = stage.rng.uniform(8.0, 25.0)
    across = street.kerb_m[0] + 0.4
    while across < street.kerb_m[1] - 0.6:
        _flat(stage, _strip(street, (across, across + 0.6), (at, at + 2.6)), colour, ROAD)
        across += 1.2


def _markings(stage: Stage, street: Street, colour: Floats) -> None:
    rng = stage.rng
    middle = (street.kerb_m[0] + street.kerb_m[1]) / 2
    if rng.random() < 0.85:
        _dashes(stage, street, max(middle, 1.4), colour)
    if rng.random() < 0.2:
        _dashes(stage, street, max(middle, 1.4) + 3.0, colour)
    for side in (-1, 1):
        if rng.random() < 0.5:
            _kerb_lines(stage, street, side)
    if rng.random() < 0.3:
        _arrow(stage, street, colour)
    if rng.random() < 0.15:
        _crossing(stage, street, colour)
    if rng.random() < 0.25:
        at = rng.uniform(9.0, 30.0)
        stop = _strip(street, (street.kerb_m[0], max(middle, 1.4)), (at, at + 0.3))
        _flat(stage, stop, colour, ROAD)
