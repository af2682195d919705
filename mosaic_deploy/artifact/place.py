"""Where an artifact is to lie: free, or taken by an artifact of ours, which may be replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mosaic_deploy.artifact.manifest import MANIFEST, Manifest
from mosaic_deploy.artifact.open import read_manifest
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import sha256_of

_LOG = "log"


def require_replaceable(place: Path, *, force: bool) -> Manifest | None:
    """The manifest of the artifact that lies at ``place``; None where nothing does.

    Raises ``UsageError`` for a folder that is no artifact, whether ``force`` or not, and without ``force``
    for one in which somebody keeps files of their own.
    """
    if not place.exists() and not place.is_symlink():
        return None
    try:
        if place.is_symlink():
            raise ModelError("it is a link")
        manifest = read_manifest(place / MANIFEST)
    except ModelError as err:
        raise UsageError(
            f"{place}: is there and no artifact that this version can read, so it is left alone: "
            "move it away, or choose another --out"
        ) from err
    listed = {MANIFEST, *(entry.path for entry in manifest.files)}
    foreign = next((name for name in _files_in(place) if name not in listed), None)
    if foreign is not None and not force:
        raise UsageError(
            f"{place}: holds {foreign}, which no build wrote: move that away, choose another --out, or add "
            "--force to lose it"
        )
    return manifest


def is_intact(place: Path, manifest: Manifest) -> bool:
    """Whether every file but the logs is there, byte for byte as it was listed."""
    try:
        return all(
            (place / entry.path).stat().st_size == entry.bytes
            and sha256_of(place / entry.path) == entry.sha256
            for entry in manifest.files
            if entry.kind != _LOG
        )
    except OSError:
        return False


def _files_in(place: Path) -> Iterator[str]:
    for path in sorted(place.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(place).as_posix()
