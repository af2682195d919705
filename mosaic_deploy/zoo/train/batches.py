"""Endless augmented batches, made one ahead of the network in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mosaic_deploy.datasets.samples import Dataset
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import IGNORE, Pixels
from mosaic_deploy.zoo.train.augment import View, jitter_colour, paste_classes, random_view
from mosaic_deploy.zoo.train.config import TrainConfig

_RARE_SHARE = 0.08
"""A class below this share of the labelled pixels may be pasted into other images."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One data set in memory, and how large a part of every batch comes from it."""

    samples: tuple[tuple[Pixels, Pixels], ...]
    share: float
    pixels: NDArray[np.int64]
    """(classes,) labelled pixels of each class."""
    in_images_of: NDArray[np.int64]
    """(classes,) labelled pixels of the images that hold the class."""

    @property
    def rare(self) -> NDArray[np.uint8]:
        """The ids that are worth pasting."""
        share = self.pixels / max(self.pixels.sum(), 1)
        return np.flatnonzero((share > 0) & (share < _RARE_SHARE)).astype(np.uint8)


def read_pool(dataset: Dataset, share: float, *, on_progress: Callable[[], None]) -> Pool:
    """Decode a whole data set; calls ``on_progress`` once per sample. Raises ``DataError`` without labels."""
    classes = len(dataset.labels.classes)
    samples = []
    pixels = np.zeros(classes, np.int64)
    among = np.zeros(classes, np.int64)
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.label is None:
            raise DataError(f"{dataset.name}: {sample.name} has no labels to train on")
        samples.append((sample.image, sample.label))
        counts = np.bincount(sample.label[sample.label != IGNORE].ravel(), minlength=classes)
        pixels += counts
        among += np.where(counts > 0, counts.sum(), 0)
        on_progress()
    return Pool(tuple(samples), share, pixels, among)


class Batches:
    """Batches drawn from pools; ``take(progress)`` returns one and starts on the next."""

    def __init__(self, pools: Sequence[Pool], config: TrainConfig, contract: Contract, *, seed: int) -> None:
        self._pools, self._config, self._contract = pools, config, contract
        self._rng = np.random.default_rng(seed)
        self._orders = [_endless(len(pool.samples), self._rng) for pool in pools]
        self._owed = [0.0] * len(pools)
        self._maker = ThreadPoolExecutor(1)
        self._next = self._maker.submit(self._make, 0.0)

    def take(self, progress: float) -> tuple[Tensor, Tensor]:
        """Return (N, 3, H, W) float32, channels last, and (N, H, W) int64 with 255 = ignore."""
        batch = self._next.result()
        self._next = self._maker.submit(self._make, progress)
        return batch

    def close(self) -> None:
        """Stop the thread."""
        self._maker.shutdown(cancel_futures=True)

    def _make(self, progress: float) -> tuple[Tensor, Tensor]:
        view = View(self._config.crop(progress), self._config.scale)
        pairs = [self._sample(self._choose(), view) for _ in range(self._config.batch)]
        pixels = np.stack([image for image, _ in pairs])
        truth = torch.from_numpy(np.stack([label for _, label in pairs]))
        return as_input(pixels, self._contract), truth.long()

    def _choose(self) -> int:
        shares = [pool.share for pool in self._pools]
        self._owed = [o + s for o, s in zip(self._owed, shares, strict=True)]
        pick = int(np.argmax(self._owed))
        self._owed[pick] -= sum(shares)
        return pick

    def _sample(self, pick: int, view: View) -> tuple[Pixels, Pixels]:
        pool, rng = self._pools[pick], self._rng
        image, label = pool.samples[next(self._orders[pick])]
        rare = pool.rare
        if rare.size and rng.random() < self._config.paste:
            donor = pool.samples[int(rng.integers(len(pool.samples)))]
            if donor[1].shape == label.shape:
                chosen = rare[rng.random(rare.size) < 0.6]
                image, label = paste_classes((image, label), donor, chosen)
        image, label = random_view(image, label, view, rng)
        return jitter_colour(image, rng), label


def _endless(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (int(i) for i in rng.permutation(count))


def as_input(pixels: Pixels, contract: Contract) -> Tensor:
    """Turn (N, H, W, 3) RGB pixels of the right size into (N, 3, H, W) float32, channels last."""
    ordered = pixels[..., ::-1] if contract.colour == "BGR" else pixels
    return torch.from_numpy(contract.normalise(ordered)).permute(0, 3, 1, 2)
