"""Buildings in the street: a front, an end wall, a roof and chimneys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from mosaic_deploy.street_scenes import facade
from mosaic_deploy.street_scenes.classes import BUILDING, SIGN
from mosaic_deploy.street_scenes.stage import Stage, grey
from mosaic_deploy.street_scenes.street import Street

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plot:
    """Ground on ``side`` for one building; its front runs along ``across_m`` over ``span_m``.

    ``open_end`` says that no neighbour hides the wall that faces the lens.
    """

    side: int
    across_m: float
    span_m: tuple[float, float]
    open_end: bool


@dataclass(frozen=True, slots=True)
class Building:
    """Stands on ``side`` with its front at ``across_m``, from ``start_m`` to ``end_m`` ahead."""

    side: int
    across_m: float
    start_m: float
    end_m: float
    height_m: float
    depth_m: float
    roof_m: float
    open_end: bool
    style: facade.Style


def _texels(quad: Floats, *, most: int) -> tuple[int, int]:
    """Choose a texture size for a projected quad: close to its average size on the canvas."""
    across = np.hypot(*(quad[1] - quad[0])) + np.hypot(*(quad[2] - quad[3]))
    down = max(np.hypot(*(quad[3] - quad[0])), np.hypot(*(quad[2] - quad[1])))
    return int(np.clip(across / 2, 4, most)), int(np.clip(down * 0.8, 4, most))


def _stamp(stage: Stage, texture: Image.Image, quad: Floats, normal: Floats) -> None:
    """Light an RGB texture by its wall's normal and lay it into a (4, 3) world quad."""
    rng, light = stage.rng, stage.light
    full, dim = light.on(normal), light.on(normal, sunny=False)
    rows = np.linspace(1.0, 0.0, texture.height)
    fall = np.ones_like(rows)
    if float(np.abs(full - dim).sum()) > 0.05 and rng.random() < 0.6:
        fall = np.clip((rows - rng.uniform(0.1, 0.8)) * 40, 0, 1)
    lit = dim + (full - dim) * fall[:, None]
    lit = lit * (0.82 + 0.18 * np.clip(rows * 4, 0, 1))[:, None]
    half = np.clip(lit[:, None, :] * 127.5, 0, 255).astype(np.uint8)
    gain = Image.fromarray(half).resize(texture.size, Image.Resampling.NEAREST)
    levels = np.arange(0, 512, 2)[:, None] * np.ones(3)
    air = light.through_air(levels, float(quad[:, 2].mean())).T.ravel()
    table = [int(value) for value in np.clip(air, 0, 255)]
    shaded = ImageChops.multiply(texture, gain).point(table)
    stage.canvas.stamp(shaded, stage.project(quad), BUILDING)


def _corners(street: Street, built: Building, high: float) -> tuple[Floats, Floats]:
    """Front corners (2, 3) near and far at height ``high``."""
    ends = street.at(built.across_m, np.array([built.start_m, built.end_m]), high)
    return ends[0], ends[1]


def _wall(street: Street, built: Building) -> tuple[Floats, Floats]:
    """The front as a (4, 3) quad, clockwise from top left as seen, and its normal."""
    near, far = _corners(street, built, built.height_m)
    left, right = (near, far) if built.side < 0 else (far, near)
    down = np.array([0.0, built.height_m, 0.0])
    along = (far - near) / np.linalg.norm(far - near)
    normal = np.array([-along[2], 0.0, along[0]]) * built.side
    return np.stack([left, right, right - down, left - down]), normal


def _end_wall(stage: Stage, street: Street, built: Building) -> None:
    near, _ = _corners(street, built, built.height_m)
    back = near + np.array((built.side * built.depth_m, 0.0, 0.0))
    left, right = (back, near) if built.side < 0 else (near, back)
    down = np.array([0.0, built.height_m, 0.0])
    quad = np.stack([left, right, right - down, left - down])
    normal = np.array([0.0, 0.0, -1.0])
    size = _texels(stage.project(quad), most=220)
    if not built.open_end:
        stage.paint(quad, built.style.wall * 0.92, BUILDING, normal=normal)
    elif stage.rng.random() < 0.3:
        metres = (built.depth_m, built.height_m)
        texture = facade.front(built.style, stage.noise, stage.rng, metres=metres, size=size)
        _stamp(stage, texture, quad, normal)
    else:
        per_m = size[1] / built.height_m
        texture = facade.blank(built.style, stage.noise, stage.rng, size=size, per_m=per_m)
        _stamp(stage, texture, quad, normal)
    if built.roof_m > 0:
        peak = (left + right) / 2 + np.array((0.0, built.roof_m, 0.0))
        gable = np.stack([left, peak, right])
        stage.paint(gable, built.style.wall * 0.95, BUILDING, normal=normal)


def _roof(stage: Stage, street: Street, built: Building) -> None:
    near, far = _corners(street, built, built.height_m)
    up = np.array([built.side * built.depth_m / 2, built.roof_m, 0.0])
    left, right = (near, far) if built.side < 0 else (far, near)
    quad = np.stack([left + up, right + up, right, left])
    normal = np.array([-built.side * built.roof_m, built.depth_m / 2, 0.0])
    normal /= np.linalg.norm(normal)
    size = _texels(stage.project(quad), most=160)
    slate = grey(stage.rng, 62, 96) if stage.rng.random() < 0.7 else np.array([118.0, 74.0, 56.0])
    grain = 1.0 + 0.1 * stage.noise.crop(stage.noise.white, (size[1], size[0]), stage.rng)
    rows = 1.0 + 0.06 * np.sign(np.sin(np.arange(size[1]) * 1.3))[:, None]
    tiles = np.clip((grain * rows)[..., None] * slate, 0, 255).astype(np.uint8)
    _stamp(stage, Image.fromarray(tiles), quad, normal)


def _chimney(stage: Stage, street: Street, built: Building, ahead: float) -> None:
    base = built.height_m + built.roof_m * 0.55
    top = built.height_m + built.roof_m + stage.rng.uniform(0.6, 1.4)
    across = built.across_m + built.side * built.depth_m * 0.36
    wide, deep = 0.8, 1.3
    brick = built.style.wall * 0.9
    faces = (
        (street.at(across + np.array([-wide, wide, wide, -wide]) / 2, ahead), (0.0, 0.0, -1.0)),
        (
            street.at(across - built.side * wide / 2, ahead + np.array([0, deep, deep, 0])),
            (-float(built.side), 0.0, 0.0),
        ),
    )
    for face, normal in faces:
        face[:, 1] = (base, base, top, top)
        stage.paint(face, brick, BUILDING, normal=np.array(normal))
    for step in (0.25, 0.65):
        pot = street.at(across + np.array([-0.12, 0.12, 0.1, -0.1]), ahead + step)
        pot[:, 1] = (top, top, top + 0.4, top + 0.4)
        stage.paint(pot, np.array([140.0, 86.0, 64.0]), BUILDING, normal=np.array((0.0, 0.0, -1.0)))


def _hanging_sign(stage: Stage, street: Street, built: Building) -> None:
    ahead = built.start_m + stage.rng.uniform(0.3, 0.7) * (built.end_m - built.start_m)
    low, tall = stage.rng.uniform(2.9, 3.6), stage.rng.uniform(0.7, 1.1)
    out = built.across_m - built.side * np.array([0.1, 0.95])
    if stage.camera.pixels_per_metre(ahead) * tall < stage.canvas.size[1] / 40:
        return
    board = street.at(out[[0, 1, 1, 0]], ahead)
    board[:, 1] = (low, low, low + tall, low + tall)
    facing = np.array((0.0, 0.0, -1.0))
    paint = facade.paint(stage.rng)
    stage.paint(board, paint * 0.4, SIGN, normal=facing)
    centre = board.mean(axis=0)
    stage.paint(centre + (board - centre) * 0.82, paint, SIGN, normal=facing)
    stage.paint(centre + (board - centre) * 0.4, 230 - paint * 0.8, SIGN, normal=facing)


def draw(stage: Stage, street: Street, built: Building) -> None:
    """Paint the building: roof first, then chimneys, end wall, front and a hanging sign."""
    quad, normal = _wall(street, built)
    if stage.canvas.clip(stage.project(quad)) is None and built.start_m < 12.0:
        return
    if built.roof_m > 0:
        _roof(stage, street, built)
        for ahead in np.arange(built.end_m - 1.5, built.start_m, -stage.rng.uniform(5.0, 9.0)):
            _chimney(stage, street, built, float(ahead))
    _end_wall(stage, street, built)
    size = _texels(stage.project(quad), most=340)
    metres = (built.end_m - built.start_m, built.height_m)
    texture = facade.front(built.style, stage.noise, stage.rng, metres=metres, size=size)
    _stamp(stage, texture, quad, normal)
    if built.style.shop and stage.rng.random() < 0.6:
        _hanging_sign(stage, street, built)


def footprint(street: Street, built: Building) -> Floats:
    """Give the (4, 3) ground corners, for its shadow."""
    front = street.at(built.across_m, np.array([built.start_m, built.end_m]))
    return np.concatenate([front, front[::-1] + np.array((built.side * built.depth_m, 0.0, 0.0))])


def sample(rng: np.random.Generator, plot: Plot, *, kind: str) -> Building:
    """Draw a building for a plot; ``kind`` is the street's mood."""
    tall = kind == "terrace"
    style = facade.sample(rng, shop_odds=0.55 if tall else 0.12)
    storeys = int(rng.integers(2, 6)) if tall else int(rng.integers(2, 4))
    height = style.storey_m * storeys + (0.9 if style.shop else 0.4)
    pitched = not style.modern and rng.random() < 0.8
    return Building(
        side=plot.side,
        across_m=plot.across_m,
        start_m=plot.span_m[0],
        end_m=plot.span_m[1],
        height_m=height,
        depth_m=rng.uniform(7.0, 11.0),
        roof_m=rng.uniform(1.8, 3.4) if pitched else 0.0,
        open_end=plot.open_end,
        style=style,
    )
