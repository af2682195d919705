"""A picture and its label in one RGBA image: every stroke writes colour and class at once."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Floats = NDArray[np.float64]
Field = NDArray[np.float32]
Box = tuple[int, int, int, int]

SUPER = 2
"""Canvas pixels per picture pixel, along each axis."""

_ANY = [0] + [255] * 255
_DOUBLE = [min(255, 2 * value) for value in range(256)] * 3 + list(range(256))
_RIM = 2
"""Texels repeated around a texture, so that interpolation never reads past its edge."""


def _fill(colour: Floats, label: int) -> tuple[int, int, int, int]:
    red, green, blue = colour.tolist()
    return (
        min(255, max(0, int(red + 0.5))),
        min(255, max(0, int(green + 0.5))),
        min(255, max(0, int(blue + 0.5))),
        label,
    )


def _warp_back(quad: Floats, size: tuple[int, int]) -> list[float]:
    """Solve the eight numbers that take canvas pixels in ``quad`` to a (w, h) texture."""
    wide, tall = size
    corners = np.array([(0, 0), (wide, 0), (wide, tall), (0, tall)], dtype=np.float64) + _RIM
    rows = np.zeros((8, 8))
    for at, ((x, y), (u, v)) in enumerate(zip(quad, corners, strict=True)):
        rows[2 * at] = (x, y, 1, 0, 0, 0, -u * x, -u * y)
        rows[2 * at + 1] = (0, 0, 0, x, y, 1, -v * x, -v * y)
    return [float(value) for value in np.linalg.solve(rows, corners.reshape(-1))]


@final
class Canvas:
    """Draws at ``SUPER`` times the picture's size; the alpha band holds the class id."""

    def __init__(self, image: Image.Image) -> None:
        """Take over an RGBA image."""
        self._image = image
        self._draw = ImageDraw.Draw(image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in canvas pixels."""
        return self._image.size

    def pixels(self) -> NDArray[np.uint8]:
        """Copy out the (H, W, 4) uint8 pixels."""
        return np.array(self._image)

    def polygon(self, points: Floats, colour: Floats, label: int) -> None:
        """Fill the (N, 2) outline."""
        self._draw.polygon(points.ravel().tolist(), fill=_fill(colour, label))

    def line(self, points: Floats, colour: Floats, label: int, *, width_px: float = 1.0) -> None:
        """Stroke the (N, 2) polyline."""
        width = max(1, round(width_px))
        self._draw.line(points.ravel().tolist(), fill=_fill(colour, label), width=width)

    def disc(self, centre: Floats, radii: tuple[float, float], colour: Floats, label: int) -> None:
        """Fill an upright ellipse of the given half width and half height."""
        (x, y), (across, down) = centre, radii
        box = (float(x - across), float(y - down), float(x + across), float(y + down))
        self._draw.ellipse(box, fill=_fill(colour, label))

    def clip(self, points: Floats) -> Box | None:
        """Bound (N, 2) points by a (left, top, right, bottom) box inside the canvas."""
        low = np.floor(points.min(axis=0)).astype(int)
        high = np.ceil(points.max(axis=0)).astype(int) + 1
        left, top = max(0, int(low[0])), max(0, int(low[1]))
        right, bottom = min(self.size[0], int(high[0])), min(self.size[1], int(high[1]))
        return (left, top, right, bottom) if left < right and top < bottom else None

    def stamp(self, texture: Image.Image, quad: Floats, label: int) -> None:
        """Lay an RGB texture into the (4, 2) quad: its corners clockwise from top left."""
        box = self.clip(quad)
        if box is None or np.ptp(quad[:, 0]) < 1.0 or np.ptp(quad[:, 1]) < 1.0:
            return
        shifted = quad - box[:2]
        size = (box[2] - box[0], box[3] - box[1])
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon(shifted.ravel().tolist(), fill=255)
        warped = _rimmed(texture).transform(
            size,
            Image.Transform.PERSPECTIVE,
            _warp_back(shifted, texture.size),
            Image.Resampling.BILINEAR,
        )
        warped.putalpha(label)
        self._image.paste(warped, box, mask)

    def blend(self, box: Box, colour: Field | Floats, alpha: Field, label: int) -> None:
        """Mix colour, (h, w, 3) or (3,), over ``box`` by (h, w) alpha in [0, 1].

        The arrays are stretched over the box. Any alpha above 0 takes the label.
        """
        region = self._image.crop(box)
        mask = _bytes(alpha * 255).resize(region.size, Image.Resampling.NEAREST)
        labels = region.getchannel("A")
        labels.paste(label, mask=mask.point(_ANY))
        mixed = region.convert("RGB")
        if colour.ndim == 1:
            mixed.paste(_fill(colour.astype(np.float64), label)[:3], mask=mask)
        else:
            paint = _bytes(colour).resize(region.size, Image.Resampling.NEAREST)
            mixed.paste(paint, mask=mask)
        mixed.putalpha(labels)
        self._image.paste(mixed, box)

    def tint(self, box: Box, factor: Field) -> None:
        """Multiply the colours in ``box`` by factors in [0, 2); classes stay.

        ``factor`` is (h, w) or (h, w, 3), stretched over the box.
        """
        region = self._image.crop(box)
        gain = _bytes(factor * 127.5).resize(region.size, Image.Resampling.NEAREST).convert("RGB")
        gain.putalpha(255)
        halved = ImageChops.multiply(region, gain)
        self._image.paste(halved.point(_DOUBLE), box)


def _bytes(values: Field | Floats) -> Image.Image:
    """Make an L or RGB image of (h, w) or (h, w, 3) values, cut to [0, 255]."""
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _rimmed(texture: Image.Image) -> Image.Image:
    """Repeat a texture's outermost texels, so that interpolation never reads past its edge."""
    padded = np.pad(np.asarray(texture), ((_RIM, _RIM), (_RIM, _RIM), (0, 0)), mode="edge")
    return Image.fromarray(padded)
