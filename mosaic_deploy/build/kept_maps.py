"""Class maps that were made before, on disk by the digest of all that they depend on."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_deploy.build.reference_maps import Maps
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.workers.environments import cache_folder
from mosaic_deploy.zoo.export_cache import key_of

MOST = 50
"""Networks that are kept; the oldest go first."""
_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class KeptMaps:
    """A file in ``mosaic-deploy/maps`` of the user's cache folder."""

    place: Path

    @classmethod
    def of(cls, made_from: Mapping[str, object], inputs: Sequence[Path]) -> KeptMaps:
        """The maps of a network, by what its export depends on, on these inputs."""
        fed = [hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs]
        key = key_of({"network": dict(made_from), "inputs": fed})
        return cls(cache_folder().parent / "maps" / f"{key[:32]}.npz")

    def read(self, sizes: Sequence[tuple[int, int]], folder: Path) -> Maps | None:
        """The maps, one of each size, written into ``folder``; None where they are not there or damaged."""
        try:
            with open(self.place, "rb") as file, np.load(io.BytesIO(file.read(_BYTES))) as kept:
                maps: list[Pixels] = [kept[f"arr_{index}"] for index in range(len(sizes))]
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if any(m.shape != size or m.dtype != np.uint8 for m, size in zip(maps, sizes, strict=True)):
            return None
        folder.mkdir(parents=True)
        paths = [folder / f"{index:05d}.npy" for index in range(len(maps))]
        for path, ids in zip(paths, maps, strict=True):
            np.save(path, ids, allow_pickle=False)
        return Maps(tuple(paths))

    def write(self, maps: Maps) -> None:
        """Keep them; where nothing can be written nothing is."""
        packed = io.BytesIO()
        np.savez_compressed(packed, *(maps[index] for index in range(len(maps.paths))))
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.place, packed.getvalue())
            others = sorted(self.place.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
            for old in others[: max(0, len(others) - MOST)]:
                old.unlink(missing_ok=True)
        except OSError:
            return
