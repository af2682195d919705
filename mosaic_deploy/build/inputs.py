"""Images as the network's inputs, in files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mosaic_deploy.backends.protocol import Layout
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress


def prepare_inputs(
    contract: Contract, dataset: FileDataset, folder: Path, *, on_progress: OnProgress
) -> tuple[Path, ...]:
    """Write each image as the network's input, ``.npy``."""
    folder.mkdir()
    paths = []
    for index in range(len(dataset)):
        sample = dataset[index]
        path = folder / f"{index:05d}.npy"
        np.save(path, contract.prepare(sample.image), allow_pickle=False)
        paths.append(path)
        on_progress((index + 1) / len(dataset), sample.name)
    return tuple(paths)


def reorder_axes(paths: Iterable[Path], folder: Path, *, have: Layout, want: Layout) -> tuple[Path, ...]:
    """The same inputs with their axes in another order; the paths themselves where it is the same one."""
    if have == want:
        return tuple(paths)
    folder.mkdir()
    order = (0, 2, 3, 1) if want == "NHWC" else (0, 3, 1, 2)
    turned = []
    for path in paths:
        values = np.load(path, allow_pickle=False)
        turned.append(folder / path.name)
        np.save(turned[-1], np.ascontiguousarray(values.transpose(order)), allow_pickle=False)
    return tuple(turned)
