"""Trees in leaf and in winter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.street_scenes.canvas import SUPER
from mosaic_deploy.street_scenes.classes import TREE
from mosaic_deploy.street_scenes.noise import SIDE
from mosaic_deploy.street_scenes.stage import Stage

Floats = NDArray[np.float64]
Field = NDArray[np.float32]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Tree:
    """Stands at (x, z) metres; the crown is an ellipsoid of half sizes ``crown_m`` (wide, tall)."""

    x_m: float
    z_m: float
    trunk_m: float
    girth_m: float
    crown_m: tuple[float, float]
    bare: bool
    bark: Floats
    leaf: Floats


def sample(rng: np.random.Generator, *, x_m: float, z_m: float, winter: float) -> Tree:
    """Draw a tree; ``winter`` in [0, 1] is the chance that it is bare."""
    wide = rng.uniform(1.6, 4.0)
    green = np.array([86.0, 98.0, 58.0]) * rng.uniform(0.6, 1.2) + rng.normal(0, 7, 3)
    autumn = np.array([112.0, 88.0, 44.0]) * rng.uniform(0.7, 1.1)
    return Tree(
        x_m=x_m,
        z_m=z_m,
        trunk_m=rng.uniform(1.7, 3.6),
        girth_m=rng.uniform(0.2, 0.5),
        crown_m=(wide, wide * rng.uniform(0.9, 1.6)),
        bare=bool(rng.random() < winter),
        bark=np.array([74.0, 66.0, 58.0]) * rng.uniform(0.6, 1.2),
        leaf=green if rng.random() < 0.85 else autumn,
    )


def _window(stage: Stage, field: Field, box: Box, grain_px: float) -> Field:
    """Sample a noise field over a canvas box with features ``grain_px`` times larger."""
    shift = stage.rng.integers(SIDE, size=2)
    rows = ((np.arange(box[1], box[3], SUPER) / grain_px).astype(np.int64) + shift[0]) % SIDE
    cols = ((np.arange(box[0], box[2], SUPER) / grain_px).astype(np.int64) + shift[1]) % SIDE
    return np.asarray(field[rows[:, None], cols[None, :]])


def _ball(box: Box, centre: Floats, radii: tuple[float, float]) -> tuple[Field, Field]:
    """Coordinates of a box's cells relative to an ellipse: (1, w) across and (h, 1) down."""
    across = (np.arange(box[0], box[2], SUPER) + SUPER / 2 - centre[0]) / radii[0]
    down = (np.arange(box[1], box[3], SUPER) + SUPER / 2 - centre[1]) / radii[1]
    return across[None, :].astype(np.float32), down[:, None].astype(np.float32)


def _crown_box(stage: Stage, centre: Floats, radii: tuple[float, float]) -> Box | None:
    reach = np.array([radii[0] * 1.35, radii[1] * 1.35])
    cells = np.round(np.stack([centre - reach, centre + reach - 1]) / SUPER) * SUPER
    box = stage.canvas.clip(cells)
    if box is None:
        return None
    left, top, right, bottom = (side // SUPER * SUPER for side in box)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _leaves(stage: Stage, tree: Tree, centre: Floats, radii: tuple[float, float]) -> None:
    box = _crown_box(stage, centre, radii)
    if box is None:
        return
    across, down = _ball(box, centre, radii)
    grain = max(float(SUPER), stage.camera.pixels_per_metre(tree.z_m) * 0.035)
    lumps = _window(stage, stage.noise.cloudy, box, radii[0] / 40)
    clumps = _window(stage, stage.noise.clumpy, box, grain)
    fine = _window(stage, stage.noise.white, box, max(float(SUPER), grain / 2))
    reach = np.sqrt(across**2 + down**2) + 0.13 * lumps + 0.05 * clumps
    solid = (reach < 1.0) & (clumps + lumps > -2.4 + 1.7 * reach)
    sun, light = stage.light.sun, stage.light
    up, right, ahead = (np.float32(sun[axis]) for axis in (1, 0, 2))
    facing = np.clip(right * across - up * down - 0.35 * ahead + 0.6 * clumps + 0.3 * fine, 0, 1.4)
    grey_light = 0.64 - 0.25 * down + 0.26 * clumps + 0.24 * fine
    kept = math.exp(-max(tree.z_m - 10.0, 0.0) / light.haze_m)
    shade = np.clip(grey_light, 0.08, 1.7)[..., None]
    colour = shade * (tree.leaf * light.sky_rgb * kept).astype(np.float32)
    if stage.sunny(tree.x_m, tree.z_m):
        colour += facing[..., None] * (tree.leaf * light.sun_rgb * kept).astype(np.float32)
    colour += (light.haze_rgb * (1 - kept)).astype(np.float32)
    stage.canvas.blend(box, colour, solid.astype(np.float32), TREE)


def _branches(stage: Stage, tree: Tree, colour: Floats) -> None:
    """Grow a fan of forking branches, five generations, into the crown."""
    rng, (wide, tall) = stage.rng, tree.crown_m
    scale = stage.camera.pixels_per_metre(tree.z_m)
    tips = np.array([[0.0, tree.trunk_m * 0.8, np.pi / 2 + rng.normal(0, 0.1)]])
    length, girth = tall * 0.62, tree.girth_m * 0.6
    for _ in range(5):
        roots = np.repeat(tips, rng.integers(2, 4, size=len(tips)), axis=0)
        aim = roots[:, 2] + rng.normal(0, 0.45, len(roots))
        reach = length * rng.uniform(0.55, 1.0, len(roots))
        x = roots[:, 0] + reach * np.cos(aim) * (wide / tall * 1.1)
        tips = np.stack([x, roots[:, 1] + reach * np.sin(aim), aim], axis=1)
        ends = np.zeros((2, len(roots), 3))
        ends[0, :, :2], ends[1, :, :2] = roots[:, :2], tips[:, :2]
        ends += (tree.x_m, 0.0, tree.z_m)
        pixels = stage.project(ends.reshape(-1, 3)).reshape(2, -1, 2).transpose(1, 0, 2)
        for limb in pixels:
            stage.canvas.line(limb, colour, TREE, width_px=girth * scale)
        tips = tips[rng.permutation(len(tips))[:64]]
        length, girth = length * 0.68, girth * 0.55
        if girth * scale < 0.35:
            return


def _twigs(stage: Stage, tree: Tree, centre: Floats, radii: tuple[float, float]) -> None:
    box = _crown_box(stage, centre, radii)
    if box is None:
        return
    across, down = _ball(box, centre, radii)
    grain = max(float(SUPER), stage.camera.pixels_per_metre(tree.z_m) * 0.02)
    lumps = _window(stage, stage.noise.cloudy, box, radii[0] / 40)
    clumps = _window(stage, stage.noise.clumpy, box, grain)
    fine = _window(stage, stage.noise.white, box, float(SUPER))
    reach = np.sqrt(across**2 + down**2) + 0.12 * lumps + 0.04 * clumps
    inside = (reach < 0.97) & (clumps > -2.2)
    alpha = np.clip(0.7 - 0.36 * reach + 0.16 * clumps + 0.28 * fine, 0.2, 1.0)
    lit = tree.bark * 0.8 * stage.light.on((0.0, 0.5, -0.8))
    colour = stage.light.through_air(lit, tree.z_m)
    stage.canvas.blend(box, colour, np.where(inside, alpha, np.float32(0)), TREE)


def draw(stage: Stage, tree: Tree) -> None:
    """Paint trunk, branches and crown."""
    scale = stage.camera.pixels_per_metre(tree.z_m)
    wide, tall = tree.crown_m
    middle = np.array([[tree.x_m, tree.trunk_m + tall * 0.75, tree.z_m]])
    centre = stage.project(middle)[0]
    radii = (wide * scale, tall * scale)
    sunny = stage.sunny(tree.x_m, tree.z_m)
    bark = stage.light.through_air(tree.bark * stage.light.on((0, 0, -1), sunny=sunny), tree.z_m)
    half = max(tree.girth_m / 2, 0.9 / scale)
    x = tree.x_m + half * np.array([-1.3, 1.3, 0.7, -0.7])
    y = np.array([0.0, 0.0, 1.0, 1.0]) * (tree.trunk_m + tall * 0.2)
    trunk = stage.project(np.stack([x, y, np.full(4, tree.z_m)], axis=1))
    stage.canvas.polygon(trunk, bark, TREE)
    lit_edge = trunk.copy()
    lit_edge[[0, 3]] = trunk[[0, 3]] * 0.4 + trunk[[1, 2]] * 0.6
    stage.canvas.polygon(lit_edge, bark * 0.8, TREE)
    if tree.bare:
        _twigs(stage, tree, centre, radii)
        _branches(stage, tree, bark * 0.75)
    else:
        _leaves(stage, tree, centre, radii)
