"""Many artifacts as one page, from what lies in their folders; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.artifact.html_report.page import render_page
from mosaic_deploy.artifact.html_report.record import Record, open_record
from mosaic_deploy.artifact.manifest import MANIFEST
from mosaic_deploy.errors import ModelError
from mosaic_deploy.files import disk_trouble, require_free_file, write_whole

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Joined:
    """What went into a page."""

    out: Path
    records: tuple[Record, ...]

    def to_json(self) -> dict[str, object]:
        """The object that ``report --json`` prints."""
        return {
            "schema": SCHEMA,
            "out": str(self.out),
            "artifacts": [
                {
                    "folder": str(each.folder),
                    "model": each.manifest.model,
                    "target": each.manifest.target.name,
                    "recipe": each.manifest.recipe.name,
                    "passed": each.manifest.passed,
                }
                for each in self.records
            ],
        }


def join(folders: Sequence[Path], out: Path, *, force: bool = False) -> Joined:
    """Write the page of artifacts, or of the artifacts in a folder, to ``out``.

    Raises:
        UsageError: ``out`` is there and not ``force``.
        ModelError: a folder is no artifact and holds none, or one of its files was changed.
        ToolError: the page cannot be written.
    """
    require_free_file(out, force=force)
    found = dict.fromkeys(place for folder in folders for place in _artifacts(folder))
    records = tuple(open_record(place) for place in found)
    page = render_page(records)
    with disk_trouble(out):
        write_whole(out, page)
    return Joined(out, records)


def _artifacts(folder: Path) -> tuple[Path, ...]:
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return (folder,)
    found = tuple(sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")))
    visible = tuple(path for path in found if not path.name.startswith("."))
    if not visible:
        raise ModelError(f"{folder}: holds no artifact: name a folder that 'mosaic-deploy build' wrote")
    return visible
