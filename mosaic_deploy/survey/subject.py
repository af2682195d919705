"""What a survey tries: a network, how its file is made, and how a build feeds it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.files import disk_trouble
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.workers.environments import cache_folder


@dataclass(frozen=True, slots=True)
class Subject:
    """One network."""

    name: str
    digest: str
    """Of all that decides its file."""
    make: Callable[[], Path]
    """Gives the ONNX file, named after the network; raises ``MosaicError`` where it cannot be had."""
    contract: Contract
    card: str = ""
    """What ``build`` takes; empty for the file itself."""
    options: tuple[str, ...] = ()
    """Further words of ``build``, which say how the file is fed."""
    data: str = ""
    """``NAME[:DIR]`` to measure on; empty for street scenes without labels."""
    untrained: bool = False

    @property
    def labelled(self) -> bool:
        """Whether it is measured on its own data: mIoU then means something."""
        return bool(self.data) and not self.untrained


def survey_folder() -> Path:
    """What surveys keep between runs: ``mosaic-deploy/survey`` in the user's cache folder."""
    return cache_folder().parent / "survey"


def scene_folder(images: int, calibration: int) -> Path:
    """A folder with the first street scenes, without their labels: ``val/images`` and ``calib/images``."""
    place = survey_folder() / f"scenes-{images}-{calibration}"
    place.mkdir(parents=True, exist_ok=True)
    with alone(place / ".lock"):
        for split, count in (("val", images), ("calib", calibration)):
            folder = place / split / "images"
            folder.mkdir(parents=True, exist_ok=True)
            for path in scenes(split)[:count]:
                if not (folder / path.name).exists():
                    shutil.copyfile(path, folder / path.name)
    return place


def scenes(split: str) -> list[Path]:
    """The embedded street scenes of a split."""
    return sorted((spec_root() / "calib_data" / "streets" / split / "images").iterdir())


def made_once(place: Path, make: Callable[[], None]) -> Path:
    """Return a file of the cache, which ``make`` makes, once, where it is not there yet."""
    if not place.is_file():
        with disk_trouble(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with alone(place.parent / ".lock"):
                if not place.is_file():
                    make()
    return place


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until nobody else makes the same."""
    with open(lock, "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
