"""Images unlike those that calibrate: what only fits the calibration set does not help on them.

They are the rendered street scenes that come with the project. Where these calibrate, they are the held-out
ones as a poor camera at dusk would take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels

_RENDERED = "streets"
_GAMMA = 1.6
_CAST = (1.0, 0.8, 0.6)
"""Red, green and blue of the light."""
_GRAIN = 6.0
"""Standard deviation of the sensor's noise, in levels of 255."""


@dataclass(frozen=True, slots=True)
class OtherDomain:
    """Images of another domain than some data set's."""

    images: FileDataset
    what: str
    """What they are, in words."""
    dusk: bool = False
    """Whether they are taken in poor light."""

    @classmethod
    def of(cls, dataset: FileDataset, indices: Sequence[int]) -> OtherDomain:
        """As many images as ``indices`` of ``dataset`` are held out.

        Raises ``DataError`` where the rendered scenes are damaged.
        """
        if dataset.name == _RENDERED:
            return cls(dataset.only(indices), "the same scenes in poor light", dusk=True)
        return cls(open_data(_RENDERED, split="val").take(len(indices)), "rendered street scenes")

    def prepare(self, contract: Contract, folder: Path) -> tuple[Path, ...]:
        """Write them into a new folder as the network's inputs; raises ``DataError`` for unusable ones."""
        folder.mkdir(parents=True)
        paths = []
        for index in range(len(self.images)):
            image = self.images[index].image
            paths.append(folder / f"{index:03d}.npy")
            np.save(paths[-1], contract.prepare(at_dusk(image) if self.dusk else image), allow_pickle=False)
        return tuple(paths)


def at_dusk(image: Pixels) -> Pixels:
    """Mirror an (H, W, 3) image, light it warmly and poorly, and add grain; the same each time."""
    rng = np.random.default_rng(image.shape[0] * image.shape[1])
    light = (image[:, ::-1] / 255.0) ** _GAMMA * np.array(_CAST)
    dim: Pixels = np.clip(np.rint(255 * light + rng.normal(0, _GRAIN, image.shape)), 0, 255).astype(np.uint8)
    return dim
