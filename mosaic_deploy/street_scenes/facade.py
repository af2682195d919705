"""Flat pictures of house fronts: brick, plaster or stone, with windows, doors and shops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mosaic_deploy.street_scenes.noise import Noise
from mosaic_deploy.street_scenes.stage import grey, pick

Floats = NDArray[np.float64]

_WALLS = (
    (150, 128, 96),
    (166, 146, 108),
    (128, 88, 68),
    (112, 74, 58),
    (142, 104, 84),
    (176, 164, 140),
    (206, 200, 186),
    (222, 218, 210),
    (198, 186, 158),
    (134, 130, 124),
    (96, 88, 80),
)
_SHOPS = (
    (40, 60, 50),
    (120, 30, 34),
    (34, 40, 84),
    (30, 30, 32),
    (190, 186, 176),
    (60, 96, 60),
    (206, 160, 50),
    (60, 110, 150),
    (96, 50, 80),
)
_DOORS = ((60, 30, 28), (30, 44, 70), (36, 60, 44), (40, 38, 38), (150, 40, 36), (190, 188, 180))


@dataclass(frozen=True, slots=True)
class Style:
    """How one building looks; colours are unlit RGB in [0, 255], lengths in metres."""

    wall: Floats
    trim: Floats
    glass: Floats
    storey_m: float
    bay_m: float
    window: tuple[float, float]
    shop: bool
    modern: bool
    brick: bool


def paint(rng: np.random.Generator) -> Floats:
    """Draw the RGB colour of a shop front or its sign."""
    return pick(rng, _SHOPS)


def sample(rng: np.random.Generator, *, shop_odds: float) -> Style:
    """Draw a style; ``shop_odds`` in [0, 1] is the chance of a shop on the ground floor."""
    modern = bool(rng.random() < 0.22)
    wide, tall = (
        (rng.uniform(0.6, 0.92), rng.uniform(0.45, 0.7))
        if modern
        else (
            rng.uniform(0.3, 0.5),
            rng.uniform(0.45, 0.62),
        )
    )
    return Style(
        wall=pick(rng, _WALLS),
        trim=grey(rng, 170, 228) if rng.random() < 0.75 else grey(rng, 50, 90),
        glass=grey(rng, 28, 62) + np.array((0.0, 3.0, 7.0)),
        storey_m=rng.uniform(2.7, 3.5),
        bay_m=rng.uniform(1.9, 3.4),
        window=(wide, tall),
        shop=bool(rng.random() < shop_odds),
        modern=modern,
        brick=bool(rng.random() < 0.6),
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """A drawing in metres on a texture of ``size`` (w, h) texels; y runs up from the ground."""

    draw: ImageDraw.ImageDraw
    size: tuple[int, int]
    per_m: tuple[float, float]

    def box(self, left: float, low: float, right: float, high: float, colour: Floats) -> None:
        """Fill a rectangle given in metres."""
        (kx, ky), (_, tall) = self.per_m, self.size
        x0, x1 = left * kx, max(left * kx, right * kx - 1)
        y1, y0 = tall - low * ky - 1, min(tall - low * ky - 1, tall - high * ky)
        red, green, blue = (min(255, max(0, int(value))) for value in colour)
        self.draw.rectangle((x0, y0, x1, y1), fill=(red, green, blue))


def _window(sheet: Sheet, style: Style, rng: np.random.Generator, at: tuple[float, ...]) -> None:
    left, low, right, high = at
    frame = 0.09 if not style.modern else 0.05
    if not style.modern:
        sheet.box(left - 0.12, low - 0.18, right + 0.12, low, style.trim * 0.92)
        sheet.box(left - 0.06, high, right + 0.06, high + 0.22, style.wall * 0.8 + 30)
    sheet.box(left, low, right, high, style.trim)
    shade = style.glass * rng.uniform(0.45, 1.3)
    sheet.box(left + frame, low + frame, right - frame, high - frame, shade)
    sky = rng.random()
    if sky < 0.45:
        cut = low + (high - low) * rng.uniform(0.3, 0.8)
        reflex = shade + rng.uniform(15, 85) * np.array([0.95, 1.0, 1.08])
        sheet.box(left + frame, cut, right - frame, high - frame, reflex)
    elif sky < 0.65:
        sheet.box(left + frame, (low + high) / 2, right - frame, high - frame, grey(rng, 110, 170))
    if not style.modern and sheet.per_m[1] > 9:
        middle = (low + high) / 2
        sheet.box(left, middle - 0.04, right, middle + 0.04, style.trim)
        centre = (left + right) / 2
        sheet.box(centre - 0.03, low, centre + 0.03, high, style.trim * 0.95)


def _shop(sheet: Sheet, style: Style, rng: np.random.Generator, span: tuple[float, float]) -> None:
    left, right = span
    paint, fascia = pick(rng, _SHOPS), pick(rng, _SHOPS)
    sheet.box(left + 0.1, 0.0, right - 0.1, 2.7, paint)
    sheet.box(left + 0.1, 2.65, right - 0.1, 3.3, fascia)
    ink = np.clip(255 - fascia * 1.2, 0, 235)
    cursor = left + (right - left) * rng.uniform(0.15, 0.35)
    while cursor < left + (right - left) * 0.78:
        step = rng.uniform(0.14, 0.3)
        sheet.box(cursor, 2.82, cursor + step * 0.75, 2.82 + rng.uniform(0.2, 0.34), ink)
        cursor += step
    pane = left + 0.3
    while pane < right - 0.6:
        wide = min(rng.uniform(0.9, 2.2), right - 0.3 - pane)
        low = 0.1 if rng.random() < 0.25 else 0.55
        shade = style.glass * rng.uniform(0.7, 1.6) + rng.uniform(0, 25)
        sheet.box(pane, low, pane + wide, 2.5, shade)
        for _ in range(int(rng.integers(1, 5))):
            x, y = pane + rng.uniform(0, 0.8) * wide, rng.uniform(low, 1.9)
            goods = rng.uniform(20, 190, 3) * 0.7
            sheet.box(x, y, min(x + rng.uniform(0.1, 0.6), pane + wide), y + 0.35, goods)
        sheet.box(pane, 2.2, pane + wide, 2.5, shade + rng.uniform(10, 70))
        pane += wide + 0.14


def _door(sheet: Sheet, style: Style, rng: np.random.Generator, left: float) -> None:
    sheet.box(left - 0.15, 0.0, left + 1.15, 2.65, style.trim)
    sheet.box(left, 0.0, left + 1.0, 2.1, pick(rng, _DOORS))
    sheet.box(left + 0.08, 2.15, left + 0.92, 2.5, style.glass)


def _bays(length: float, bay: float) -> list[tuple[float, float]]:
    count = max(1, round(length / bay))
    step = length / count
    return [(step * at, step) for at in range(count)]


def _storeys(sheet: Sheet, style: Style, rng: np.random.Generator, size: tuple[float, float]) -> None:
    length, height = size
    ground = 3.5 if style.shop else style.storey_m
    low = ground
    while low + style.storey_m * 0.75 < height:
        for left, step in _bays(length, style.bay_m):
            wide, tall = step * style.window[0], style.storey_m * style.window[1]
            x, y = left + (step - wide) / 2, low + style.storey_m * 0.22
            _window(sheet, style, rng, (x, y, x + wide, min(y + tall, height - 0.15)))
        if style.modern or rng.random() < 0.3:
            sheet.box(0, low - 0.12, length, low + 0.12, style.wall * 0.7 + 50)
        low += style.storey_m
    if style.shop:
        for left, step in _bays(length, 6.0):
            _shop(sheet, style, rng, (left, left + step))
        return
    for at, (left, step) in enumerate(_bays(length, style.bay_m)):
        if at % 3 == 1 and step > 1.6:
            _door(sheet, style, rng, left + (step - 1.0) / 2)
            continue
        wide, tall = step * style.window[0], style.storey_m * style.window[1]
        x = left + (step - wide) / 2
        _window(sheet, style, rng, (x, 0.9, x + wide, min(0.9 + tall, height - 0.1)))


def _courses(tall: int, per_m: float) -> NDArray[np.float32]:
    """Shade (tall, 1) rows as mortar joints between courses of brick."""
    phase = (np.arange(tall)[:, None] / (per_m * 0.15)) % 1.0
    return np.where(phase < 0.22, np.float32(1.12), np.float32(0.97))


def blank(
    style: Style, noise: Noise, rng: np.random.Generator, *, size: tuple[int, int], per_m: float
) -> Image.Image:
    """Paint a windowless wall as an RGB image of a (w, h) size."""
    wide, tall = size
    rough = np.float32(0.12 if style.brick else 0.05)
    grain = rough * noise.crop(noise.white, (tall, wide), rng)
    grain += 1 + np.float32(0.05) * noise.crop(noise.cloudy, (tall, wide), rng)
    if style.brick and per_m > 14:
        grain *= _courses(tall, per_m)
    painted = grain[..., None] * style.wall.astype(np.float32)
    return Image.fromarray(np.clip(painted, 0, 255, out=painted).astype(np.uint8))


def front(
    style: Style,
    noise: Noise,
    rng: np.random.Generator,
    *,
    metres: tuple[float, float],
    size: tuple[int, int],
) -> Image.Image:
    """Paint the street front of a (length, height) building as an RGB image of a (w, h) size."""
    per_m = (size[0] / metres[0], size[1] / metres[1])
    texture = blank(style, noise, rng, size=size, per_m=per_m[1])
    sheet = Sheet(ImageDraw.Draw(texture), size, per_m)
    _storeys(sheet, style, rng, metres)
    length, height = metres
    sheet.box(0, height - 0.35, length, height, style.trim * 0.7 + style.wall * 0.3)
    sheet.box(0, height - 0.5, length, height - 0.35, style.wall * 0.55)
    pipe = rng.uniform(0.05, 0.3)
    sheet.box(pipe, 0.0, pipe + 0.1, height - 0.3, grey(rng, 40, 90))
    sheet.box(0, 0, length, 0.35, style.wall * 0.6)
    return texture
