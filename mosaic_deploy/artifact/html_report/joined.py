"""Many artifacts as one page, from what lies in their folders; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mosaic_deploy.artifact.html_report.measured import BenchRecord, SensitivityRecord, read_measured
from mosaic_deploy.artifact.html_report.page import render_page
from mosaic_deploy.artifact.html_report.record import Record, open_record
from mosaic_deploy.artifact.manifest import MANIFEST
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.files import disk_trouble, require_free_file, sha256_of, write_whole

SCHEMA = 1
_FLOAT = "float-onnx"


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


def join(folders: Sequence[Path], out: Path, *, measured: Sequence[Path] = (), force: bool = False) -> Joined:
    """Write the page of artifacts, or of the artifacts in a folder, to ``out``.

    Args:
        folders: of the artifacts, or what holds some.
        out: the HTML file.
        measured: what ``sensitivity --out`` or ``bench --json`` gave of them.
        force: whether ``out`` may be replaced.

    Raises:
        UsageError: ``out`` is there and not ``force``; or a file of what was measured is of another kind, or
            of none of the artifacts.
        ModelError: a folder is no artifact and holds none, or one of its files was changed.
        ToolError: the page cannot be written.
    """
    require_free_file(out, force=force)
    found = dict.fromkeys(place for folder in folders for place in _artifacts(folder))
    records = _with_all([open_record(place) for place in found], measured)
    page = render_page(records)
    with disk_trouble(out):
        write_whole(out, page)
    return Joined(out, records)


def _with_all(records: Sequence[Record], files: Sequence[Path]) -> tuple[Record, ...]:
    """The records with what the files say of them; of two files on one artifact the later counts."""
    found = tuple(records)
    for path in files:
        measured = read_measured(path)
        more = tuple(_with(record, measured) for record in found)
        if all(new is old for new, old in zip(more, found, strict=True)):
            raise UsageError(f"{path}: is of none of these artifacts: measure them, or leave --with out")
        found = more
    return found


def _with(record: Record, measured: SensitivityRecord | BenchRecord) -> Record:
    if isinstance(measured, SensitivityRecord):
        network = {entry.sha256 for entry in record.manifest.files if entry.kind == _FLOAT}
        same = measured.network in network and measured.target == record.manifest.target.name
        return replace(record, sensitivity=measured) if same else record
    digest = sha256_of(record.folder / MANIFEST)
    own = [row for row in measured.artifacts if row.manifest_sha256 == digest and row.median_ms is not None]
    return replace(record, time=(measured, own[0])) if own else record


def _artifacts(folder: Path) -> tuple[Path, ...]:
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return (folder,)
    found = tuple(sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")))
    visible = tuple(path for path in found if not path.name.startswith("."))
    if not visible:
        raise ModelError(f"{folder}: holds no artifact: name a folder that 'mosaic-deploy build' wrote")
    return visible
