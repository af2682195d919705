"""One scene from first die to finished canvas: sky, ground, shadows, then things back to front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mosaic_deploy.street_scenes import camera, ground, lens, light, noise, plan, sky, street, traffic
from mosaic_deploy.street_scenes.canvas import SUPER, Canvas
from mosaic_deploy.street_scenes.classes import UNLABELLED
from mosaic_deploy.street_scenes.stage import Stage, grey

Floats = NDArray[np.float64]
Field = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def _hull(points: Floats) -> Floats:
    """Wrap (N, 2) points in their convex outline."""
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def half(sequence: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for point in sequence:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0:
                    break
                chain.pop()
            chain.append(point)
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _shade(stage: Stage, items: Sequence[plan.Item]) -> Field:
    """Map the shadows of all items onto the ground, plus the dark under each vehicle."""
    wide, tall = (side // SUPER for side in stage.canvas.size)
    cast = Image.new("L", (wide, tall))
    draw = ImageDraw.Draw(cast)
    shift = np.array(stage.light.shadow_shift())
    if float(stage.light.sun_rgb.max()) > 0.3:
        for item in items:
            if item.base is None:
                continue
            low = item.base[:, [0, 2]]
            outline = _hull(np.concatenate([low, low + shift * item.tall_m]))
            if outline[:, 1].max() < 1.0:
                continue
            outline[:, 1] = np.maximum(outline[:, 1], 1.0)
            flat = np.stack([outline[:, 0], np.zeros(len(outline)), outline[:, 1]], axis=1)
            draw.polygon((stage.project(flat) / SUPER).ravel().tolist(), fill=255)
    soft = cast.filter(ImageFilter.BoxBlur(0.8 * tall / 360))
    return np.asarray(soft, dtype=np.float32) / np.float32(255)


def _contact(stage: Stage, items: Sequence[plan.Item]) -> Field:
    """Map how much of the light low things take from the ground they stand on, 0 to 1."""
    wide, tall = (side // SUPER for side in stage.canvas.size)
    dark = Image.new("L", (wide, tall))
    draw = ImageDraw.Draw(dark)
    for item in items:
        if item.base is None or item.tall_m > 3.5 or item.depth_m < 3.0:
            continue
        middle = item.base.mean(axis=0)
        outline = stage.project(middle + (item.base - middle) * 1.12) / SUPER
        draw.polygon(outline.ravel().tolist(), fill=170)
    soft = dark.filter(ImageFilter.BoxBlur(2 * tall / 360))
    return np.asarray(soft, dtype=np.float32) / np.float32(255)


def _bonnet(stage: Stage) -> None:
    """Sometimes the camera car's own bonnet shows; it carries no class."""
    rng, (wide, tall) = stage.rng, stage.canvas.size
    x = np.linspace(-0.05, 1.05, 24) * wide
    rise = rng.uniform(0.015, 0.05) * tall
    y = tall - rise * (1 - ((x / wide - rng.uniform(0.4, 0.9)) / 0.9) ** 2)
    outline = np.concatenate([np.stack([x, y], axis=1), [[wide * 1.05, tall + 5], [-9, tall + 5]]])
    tone = grey(rng, 30, 90) * stage.light.on((0, 1, 0))
    stage.canvas.polygon(outline, tone, UNLABELLED)
    shine = np.stack([x, y], axis=1)
    stage.canvas.line(shine + np.array((0, 4)), tone * 2.2, UNLABELLED, width_px=2)


def draw(rng: np.random.Generator, *, height: int, width: int) -> tuple[Pixels, Stage]:
    """Draw one scene at ``SUPER`` times (height, width); also give the stage it was drawn on."""
    size = (height * SUPER, width * SUPER)
    view = camera.sample(rng, height=size[0], width=size[1])
    day, grain, road = light.sample(rng), noise.sample(rng), street.sample(rng)
    items = plan.sides(road, rng) + traffic.everything(road, rng)
    backdrop = sky.backdrop(day, grain, rng, size=size, horizon=view.centre_px[1])
    empty = np.zeros((height, width), np.float32)
    stage = Stage(view, Canvas(backdrop), day, grain, rng, empty)
    stage = replace(stage, shade=_shade(stage, items))
    sky.skyline(stage)
    ground.paint(stage, road)
    ground.finish(stage, _contact(stage, items))
    for item in sorted(items, key=lambda item: -item.depth_m):
        item.paint(stage)
    if rng.random() < 0.15:
        _bonnet(stage)
    return stage.canvas.pixels(), stage


def photograph(rng: np.random.Generator, *, height: int, width: int) -> tuple[Pixels, Pixels]:
    """Draw a scene and take its picture: (height, width, 3) RGB and (height, width) class ids."""
    canvas, stage = draw(rng, height=height, width=width)
    return lens.expose(canvas, stage.noise, rng, dusk=stage.light.dusk)
