"""A prediction as picture files: the image coloured by its classes over a legend, and the bare ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mosaic_deploy.artifact.predict import Prediction
from mosaic_deploy.artifact.preview import overlay
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import disk_trouble, moved_in, require_free_file
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.specs.toml import nearest

_FORMATS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_SMALLEST_FONT, _FONTS_ACROSS = 13, 60
"""The legend's letters: pixels at least, and how many heights of them the image is wide."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the pictures of one prediction go."""

    overlay: Path
    ids: Path | None = None
    """An 8-bit grey PNG of class ids, as a data set's labels are."""
    force: bool = False
    """Whether files that are there may be replaced."""

    def require_free(self, image: Path) -> None:
        """Raise ``UsageError`` for a place that cannot be written, before anything is run.

        ``image`` is what is to be predicted, which is never overwritten.
        """
        _require_format(self.overlay, tuple(_FORMATS))
        places = [self.overlay]
        if self.ids is not None:
            _require_format(self.ids, (".png",))
            places.append(self.ids)
        if len({place.resolve() for place in (image, *places)}) <= len(places):
            raise UsageError(f"{', '.join(map(str, (image, *places)))}: must be different files")
        for place in places:
            require_free_file(place, force=self.force)

    def write(self, prediction: Prediction) -> None:
        """Write both beside their places and move them in; raises ``ToolError`` where they cannot be."""
        pictures = [(self.overlay, draw(prediction))]
        if self.ids is not None:
            pictures.append((self.ids, prediction.ids))
        with disk_trouble(self.overlay), moved_in(*(place for place, _ in pictures)) as parts:
            for part, (place, pixels) in zip(parts, pictures, strict=True):
                Image.fromarray(pixels).save(part, format=_FORMATS[place.suffix.lower()], quality=90)


def draw(prediction: Prediction) -> Pixels:
    """The image at its own size, coloured by class, and below it each class that was found with its share."""
    coloured = overlay(prediction.image, prediction.ids, prediction.labels)
    return np.concatenate([coloured, _legend(prediction, coloured.shape[1])])


def _legend(prediction: Prediction, width: int) -> Pixels:
    """(h, width, 3): swatches and names, as many lines as they take."""
    size = max(_SMALLEST_FONT, width // _FONTS_ACROSS)
    font, line = ImageFont.load_default(size), round(1.6 * size)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    placed: list[tuple[int, int, int, str]] = []
    left = row = 0
    for index, share in prediction.shares:
        text = f"{prediction.name(index)} {share:.1%}"
        wide = round(3 * size + pen.textlength(text, font))
        if left and left + wide > width:
            left, row = 0, row + 1
        placed.append((left, row * line, index, text))
        left += wide
    sheet = Image.new("RGB", (width, (row + 1) * line), "white")
    pen = ImageDraw.Draw(sheet)
    for left, top, index, text in placed:
        box = (left + 4, top + (line - size) // 2, left + 4 + size, top + (line + size) // 2)
        pen.rectangle(box, fill=prediction.labels.palette[index], outline="black")
        pen.text((left + 8 + size, top + line / 2), text, "black", font, anchor="lm")
    return np.asarray(sheet)


def _require_format(place: Path, known: tuple[str, ...]) -> None:
    if place.suffix.lower() not in known:
        raise UsageError(
            f"{place}: '{place.suffix}' is not a supported image format"
            f"{nearest(place.suffix, known)}: {', '.join(known)}"
        )


__all__ = ["Pictures", "draw"]
