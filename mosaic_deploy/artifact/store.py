"""An artifact is a folder: it is written beside its place, described by a manifest, and moved in whole."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.files import sha256_of


def entries(folder: Path, files: Sequence[File]) -> tuple[Entry, ...]:
    """Measure and hash the files of an artifact, in their order."""
    return tuple(_entry(folder, file) for file in files)


def shipped_bytes(listed: Sequence[Entry]) -> int:
    """Size of the largest network that a device loads; where none is made, of everything."""
    sizes: dict[str, int] = defaultdict(int)
    for entry in listed:
        if entry.ships:
            sizes[entry.part_of or entry.path] += entry.bytes
    return max(sizes.values(), default=sum(entry.bytes for entry in listed))


def write_json(path: Path, record: Mapping[str, object]) -> None:
    """Write one JSON object, indented, with a final newline; NaN is refused."""
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _entry(folder: Path, file: File) -> Entry:
    path = folder / file.path
    return Entry(file.path, file.kind, path.stat().st_size, sha256_of(path), file.ships, file.part_of)
