"""The pictures that a build makes of some of its validation images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mosaic_deploy.artifact.html_report.views import write_views
from mosaic_deploy.artifact.preview import Row, draw
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.build.inputs import SHOWN, ValidationImage
from mosaic_deploy.build.reference_maps import Maps, pairs
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import LabelSpace, Pixels

_PREVIEW = "preview.webp"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Validation images, and what the float network sees on them."""

    dataset: FileDataset
    images: tuple[ValidationImage, ...]
    """Those of the data set, in its order."""
    reference: Maps
    labels: LabelSpace

    def pixels(self, index: int) -> Pixels | None:
        """An image, decoded once more where it was not kept; None where somebody took it away meanwhile."""
        kept = self.images[index].read_pixels()
        try:
            return self.dataset[index].image if kept is None else kept
        except DataError:
            return None

    def write(self, folder: Path, candidate: Maps, name: str) -> File:
        """Draw a few images, spread over all, as both networks see them; ``name`` is the candidate's."""
        spread = np.linspace(0, len(self.images) - 1, SHOWN).round().astype(int)
        shown = ((int(index), self.pixels(int(index))) for index in np.unique(spread))
        rows = [Row(image, self.reference[i], candidate[i]) for i, image in shown if image is not None]
        draw(rows, self.labels, folder / _PREVIEW, candidate=name)
        return File(_PREVIEW, "preview")

    def write_views(self, folder: Path, candidate: Maps) -> tuple[File, ...]:
        """Layers of the images that lose most, middling and least; only these are decoded."""

        def image(index: int) -> tuple[str, Pixels] | None:
            pixels = self.pixels(index)
            return None if pixels is None else (self.dataset.items[index].name, pixels)

        return write_views(folder, partial(pairs, self.images, self.reference, candidate), image, self.labels)
