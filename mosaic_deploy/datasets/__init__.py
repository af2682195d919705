"""Data sets: one protocol per file, found by name.

A module here that reads a data set has ``HOME``, where its files come from, and ``load(root, split)``, which
knows the splits ``calib`` and ``val`` at least.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Literal, Protocol, get_args

from mosaic_deploy.datasets.samples import FileDataset, Home
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.toml import nearest

DATASETS = {
    "ade20k31": "mosaic_deploy.datasets.ade20k31",
    "camvid": "mosaic_deploy.datasets.camvid",
    "cityscapes": "mosaic_deploy.datasets.cityscapes",
    "folder": "mosaic_deploy.datasets.folder",
    "streets": "mosaic_deploy.datasets.streets",
}
"""Data set name -> the module that reads it."""

Split = Literal["train", "calib", "val"]
"""To train on, to calibrate quantisation on, and to measure on. Where a data set has no ``calib`` of its own,
images of its training split are for calibration."""


class Reader(Protocol):
    """What a module in :data:`DATASETS` offers."""

    HOME: Home

    def load(self, root: Path, split: str) -> FileDataset:
        """Open one split below ``root``; raises ``DataError`` where its files are not as they should be."""


def open_data(text: str, *, split: Split) -> FileDataset:
    """Open what ``--data NAME[:DIR]`` names.

    Without DIR the folder is the one that the data set's environment variable names (``MOSAIC_CAMVID``), or
    the one that the project brings along. ``~`` in it is the home folder.

    Raises ``DataError`` for an unknown name (with the nearest), a split that is none, no folder where one is
    needed (with what it must hold and who gives it out), and files that are not as they should be.
    """
    name, _, folder = text.partition(":")
    if name not in DATASETS:
        raise DataError(f"no data set '{name}'{nearest(name, DATASETS)}; known: {', '.join(DATASETS)}")
    if split not in get_args(Split):
        raise DataError(f"no split '{split}'; there are {', '.join(get_args(Split))}")
    reader: Reader = importlib.import_module(DATASETS[name])
    return reader.load(_root(name, reader.HOME, folder), split)


def located(text: str) -> str:
    """``NAME:DIR`` with the absolute folder that ``open_data`` would open: for other processes.

    Raises ``DataError`` as that does.
    """
    name, _, folder = text.partition(":")
    if name not in DATASETS:
        raise DataError(f"no data set '{name}'{nearest(name, DATASETS)}; known: {', '.join(DATASETS)}")
    reader: Reader = importlib.import_module(DATASETS[name])
    return f"{name}:{_root(name, reader.HOME, folder).absolute()}"


def _root(name: str, home: Home, folder: str) -> Path:
    stated = os.environ.get(home.environment, "") if home.environment else ""
    if not (folder or stated) and home.embedded is not None:
        from mosaic_deploy.specs.root import spec_root  # here, since specs needs the labels of this package

        return spec_root() / home.embedded
    needed = f"it must hold {home.holds} ({home.origin})"
    if not (folder or stated):
        variable = f" or set {home.environment}" if home.environment else ""
        raise DataError(f"{name}: name its folder, --data {name}:DIR{variable}; {needed}")
    root = _expand(folder or stated)
    if not root.is_dir():
        source = "" if folder else f" (from {home.environment})"
        raise DataError(f"{name}: {root}{source}: no such folder; {needed}")
    return root


def _expand(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as err:
        raise DataError(f"{folder}: {err}") from err


__all__ = ["DATASETS", "Reader", "Split", "located", "open_data"]
