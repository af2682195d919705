"""Rendered street scenes in files: the embedded set, or a folder that ``mosaic-deploy`` has rendered.

A root holds ``calib|val|train/images`` and ``.../labels`` (8-bit PNG of ids), with CamVid's 11 classes and
11 = unlabelled. The embedded set has ``calib`` and ``val``; training scenes are rendered when wanted
(:mod:`mosaic_deploy.street_scenes.render`). Where the root has a ``manifest.json``, as the embedded
set must, a split has exactly the files that it lists, each with its sha256: the set is the one that was
measured, or none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ValidationError

from mosaic_deploy.datasets.camvid import LABELS, UNLABELLED
from mosaic_deploy.datasets.samples import FileDataset, Home, Item, ids_up_to, pair_files
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.root import spec_root

SPLITS = ("calib", "val", "train")
HOME = Home(
    holds="calib|val|train/images and .../labels",
    origin="'mosaic-deploy render-streets' writes them",
    embedded="calib_data/streets",
)


class _Record(BaseModel):
    image: PurePosixPath
    label: PurePosixPath
    sha256_image: str
    sha256_label: str


class _Manifest(BaseModel):
    splits: dict[str, tuple[_Record, ...]]


def load(root: Path, split: str) -> FileDataset:
    """Open one split.

    Raises ``DataError`` for a split that is none, folders that are not laid out as above, and files that the
    manifest does not vouch for.
    """
    if split not in SPLITS:
        raise DataError(f"streets: no split '{split}'; there are {', '.join(SPLITS)}")
    folder = root / split
    if split == "train" and not folder.is_dir():
        raise DataError(f"{folder}: no such folder; 'mosaic-deploy render-streets' writes training scenes")
    items = pair_files(folder / "images", folder / "labels")
    manifest = root / "manifest.json"
    if manifest.is_file():
        _verify(items, root, split, _read(manifest))
    elif root == spec_root() / str(HOME.embedded):
        raise DataError(f"{manifest}: the embedded set's manifest is missing: install mosaic-deploy again")
    decode = ids_up_to(len(LABELS.classes), ignore=(UNLABELLED, 255))
    return FileDataset("streets", LABELS, items, decode)


def _read(path: Path) -> _Manifest:
    try:
        return _Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as err:
        reason = err.errors()[0]["msg"] if isinstance(err, ValidationError) else str(err)
        raise DataError(f"{path}: not a manifest of this data set ({reason})") from err


def _verify(items: tuple[Item, ...], root: Path, split: str, manifest: _Manifest) -> None:
    """See that a split's files are those of the manifest, unless it does not speak of that split at all."""
    if split not in manifest.splits:
        return
    digests: dict[Path, str] = {}
    for record in manifest.splits[split]:
        pairs = ((record.image, record.sha256_image), (record.label, record.sha256_label))
        for inside, digest in pairs:
            if inside.is_absolute() or ".." in inside.parts:
                raise DataError(f"{root / 'manifest.json'}: '{inside}' points outside the data set's folder")
            digests[root / inside] = digest
    there = {path for item in items for path in (item.image, item.label) if path is not None}
    for path in sorted(there ^ digests.keys()):
        problem = "is not in the manifest" if path in there else "is missing"
        raise DataError(f"{path}: {problem}; the {split} split is not the one that was published")
    for path, digest in digests.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise DataError(f"{path}: is not the file that the manifest lists (sha256 differs): restore it")
