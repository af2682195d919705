"""A picture of what the float network and the device see, for a person's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mosaic_deploy.specs.labels import LabelSpace, Pixels

_OVERLAY = 0.6
_STRIPE = 64
_PANEL_WIDTH = 400
_GAP = 4
_TITLE_HEIGHT = 22
_LEGEND_HEIGHT = 26
_DIFFERENT = (255, 0, 255)


@dataclass(frozen=True, slots=True)
class Row:
    """One image and both predictions, all (H, W) or (H, W, 3) of one size."""

    image: Pixels
    reference: Pixels
    candidate: Pixels


def draw(rows: Sequence[Row], labels: LabelSpace, path: Path, *, candidate: str) -> None:
    """Write image, float prediction, candidate's prediction and their difference side by side.

    One row per image; pixels on which the two differ are magenta in the last column. The format follows
    the path's suffix. ``candidate`` is the third column's title.
    """
    titles = ("image", "float", candidate, "difference")
    panels = [[_scale(panel) for panel in _panels(row, labels)] for row in rows]
    heights = [line[0].height for line in panels]
    width = len(titles) * (_PANEL_WIDTH + _GAP) - _GAP
    sheet = Image.new(
        "RGB", (width, _TITLE_HEIGHT + sum(h + _GAP for h in heights) + _LEGEND_HEIGHT), "white"
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        pen.text((column * (_PANEL_WIDTH + _GAP) + 2, 2), title, "black", font)
    top = _TITLE_HEIGHT
    for line, tall in zip(panels, heights, strict=True):
        for column, panel in enumerate(line):
            sheet.paste(panel, (column * (_PANEL_WIDTH + _GAP), top))
        top += tall + _GAP
    _legend(pen, labels, top, width)
    sheet.save(path, quality=85)


def _panels(row: Row, labels: LabelSpace) -> list[Pixels]:
    grey = np.repeat(row.image.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    difference = np.where((row.reference != row.candidate)[..., None], _DIFFERENT, grey // 2 + 96)
    return [
        row.image,
        overlay(row.image, row.reference, labels),
        overlay(row.image, row.candidate, labels),
        difference.astype(np.uint8),
    ]


def overlay(image: Pixels, ids: Pixels, labels: LabelSpace) -> Pixels:
    """Colour an (H, W, 3) image by its (H, W) class ids; ids beyond the palette stay as they are."""
    palette = np.asarray(labels.palette, np.float32)
    coloured = np.empty_like(image)
    for top in range(0, len(image), _STRIPE):  # as floats, a large photograph would fill any memory
        rows = slice(top, top + _STRIPE)
        known = ids[rows] < len(palette)
        colours = palette[np.where(known, ids[rows], 0)]
        mixed = _OVERLAY * colours + (1 - _OVERLAY) * image[rows]
        coloured[rows] = np.where(known[..., None], mixed, image[rows])
    return coloured


def _scale(panel: Pixels) -> Image.Image:
    height = round(panel.shape[0] * _PANEL_WIDTH / panel.shape[1])
    return Image.fromarray(panel).resize((_PANEL_WIDTH, height), Image.Resampling.LANCZOS)


def _legend(pen: ImageDraw.ImageDraw, labels: LabelSpace, top: int, width: int) -> None:
    font, left = ImageFont.load_default(13), 2.0
    for name, colour in zip(labels.classes, labels.palette, strict=True):
        if left > width - 60:
            return
        pen.rectangle((left, top + 6, left + 12, top + 18), fill=colour)
        pen.text((left + 16, top + 4), name, "black", font)
        left += 30 + pen.textlength(name, font)
