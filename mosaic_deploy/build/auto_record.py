"""What a search has tried so far, on disk: one that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_deploy.files import write_whole
from mosaic_deploy.workers.environments import cache_folder

MOST = 50
"""Searches that are kept; the oldest go first."""
_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON file in ``mosaic-deploy/auto`` of the user's cache folder, named after what a build is of."""

    place: Path

    @classmethod
    def of(cls, made_from: Mapping[str, str]) -> Record:
        """The record of builds from the very same."""
        digest = hashlib.sha256(json.dumps(dict(made_from), sort_keys=True).encode()).hexdigest()
        return cls(cache_folder().parent / "auto" / f"{digest[:32]}.json")

    def kept(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``work`` gave under this name before; else it is done, and what it gives is kept."""
        known = self._read()
        if name in known:
            return dict(known[name])
        found = work()
        self._write({**known, name: found})
        return found

    def _read(self) -> dict[str, Any]:
        """Everything that is kept; nothing where the file is missing or damaged."""
        try:
            with open(self.place, encoding="utf-8") as file:
                record = json.loads(file.read(_BYTES))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self, record: Mapping[str, Any]) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.place, json.dumps(record) + "\n")
        others = sorted(self.place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in others[: max(0, len(others) - MOST)]:
            old.unlink()
