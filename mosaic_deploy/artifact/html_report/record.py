"""What the page is made of: an artifact's manifest, its report and its pictures, held against a schema.

A folder that was handed on comes from a stranger. A file is taken only as the manifest lists it, byte for
byte, and nothing is run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.artifact.html_report.measured import BenchRecord, SensitivityRecord, TimeRecord
from mosaic_deploy.artifact.html_report.views import FOLDER, INDEX, View, parse_index
from mosaic_deploy.artifact.manifest import MANIFEST, Entry, Manifest
from mosaic_deploy.artifact.open import read_manifest
from mosaic_deploy.errors import ModelError
from mosaic_deploy.files import sha256_of

REPORT = "report.json"
_REPORT_BYTES, _VIEW_BYTES = 1 << 26, 1 << 22
_RIFF = (b"RIFF", b"WEBP")


class _Part(BaseModel):
    """A part of ``report.json``; what the page does not show is left alone."""

    model_config = ConfigDict(frozen=True)


class ConversionRecord(_Part):
    """The float network in the runtime's own format."""

    parity: ParityReport
    precision: str


class ViolationRecord(_Part):
    """A node that the op table does not clear."""

    level: str
    node: str
    op: str
    found: str = ""
    allowed: str = ""
    macs_share: float = 0.0
    fix: str = ""
    source: str = ""


class CheckRecord(_Part):
    """The operator gate's answer."""

    tool: str
    nodes: int
    macs: int
    violations: tuple[ViolationRecord, ...] = ()


class FixRecord(_Part):
    """A pass that rewrote the graph."""

    name: str
    summary: str = ""
    exact: bool
    nodes: tuple[str, ...] = ()
    node_error: float | None = None
    output_error: float | None = None


class StageRecord(_Part):
    """The network after one stage of the build."""

    name: str
    parity: ParityReport | None = None
    why: str = ""
    variant: str = ""


class Summary(_Part):
    """The build's own words, so that the page repeats them and judges nothing itself."""

    verdict: str
    lines: tuple[str, ...] = ()


class BuildRecord(_Part):
    """``report.json``, as far as the page shows it."""

    output: str
    check: CheckRecord | None = None
    output_change: ParityReport | None = None
    conversion: ConversionRecord | None = None
    variants: Mapping[str, ParityReport] = {}
    fixes: tuple[FixRecord, ...] = ()
    notes: tuple[str, ...] = ()
    stages: tuple[StageRecord, ...] = ()
    summary: Summary | None = None
    """None in artifacts of before there was a page."""


@dataclass(frozen=True, slots=True)
class Record:
    """One artifact, read."""

    folder: Path
    manifest: Manifest
    build: BuildRecord
    views: tuple[View, ...]
    sensitivity: SensitivityRecord | None = None
    """What was measured of its tensors, where somebody names the file."""
    time: tuple[BenchRecord, TimeRecord] | None = None
    """The benchmark that it took part in, and its row."""

    @property
    def decisive(self) -> tuple[str, ParityReport] | None:
        """Name and parity of the variant that does worst, which decides; None where nothing was compiled."""
        ranked = sorted(self.build.variants.items(), key=lambda item: item[1].rank)
        return ranked[0] if ranked else None

    def picture(self, view: View, layer: str) -> str:
        """A layer of a view as a ``data:`` address."""
        data = _read(self.folder, self.manifest, f"{FOLDER}/{dict(view.layers)[layer]}", _VIEW_BYTES)  # type: ignore[index]  # only layers that are there are asked for
        if data is None or (data[:4], data[8:12]) != _RIFF:
            raise ModelError(f"{self.folder / INDEX}: names pictures that are not there: build it again")
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

    def attachment(self, name: str) -> object | None:
        """A JSON file of the artifact by its path in it; None where the manifest lists none.

        Raises ``ModelError`` where it is not the file that was built, or no JSON.
        """
        data = _read(self.folder, self.manifest, name, _REPORT_BYTES)
        try:
            value: object = None if data is None else json.loads(data)
        except (ValueError, RecursionError) as err:
            raise ModelError(f"{self.folder / name}: not JSON: build the artifact again") from err
        return value


def open_record(folder: Path, manifest: Manifest | None = None) -> Record:
    """Read an artifact for its page.

    Args:
        folder: the artifact's.
        manifest: where it is being built and has none yet.

    Raises:
        ModelError: it is no artifact, a file is not the one that was built, or of another schema.
    """
    manifest = read_manifest(folder / MANIFEST) if manifest is None else manifest
    report = _read(folder, manifest, REPORT, _REPORT_BYTES)
    if report is None:
        raise ModelError(f"{folder / REPORT}: is not listed in {MANIFEST}: build the artifact again")
    index = _read(folder, manifest, INDEX, _REPORT_BYTES)
    try:
        build = _adapter().validate_json(report)
        views = () if index is None else parse_index(index)
    except (ValidationError, ValueError, RecursionError) as err:
        raise ModelError(f"{folder / REPORT}: is not of this version: build the artifact again") from err
    return Record(folder, manifest, build, views)


def _read(folder: Path, manifest: Manifest, name: str, most: int) -> bytes | None:
    """A listed file's bytes; None where it is not listed."""
    entry = next((e for e in manifest.files if e.path == name), None)
    if entry is None:
        return None
    path = folder / PurePosixPath(name)
    try:
        if entry.bytes > most or not _is_listed(path, folder, entry):
            raise ModelError(f"{path}: is not the file that was built (sha256 differs): build it again")
        return path.read_bytes()
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror}): build it again") from err


def _is_listed(path: Path, folder: Path, entry: Entry) -> bool:
    inside = path.resolve().is_relative_to(folder.resolve())
    return inside and path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256


@cache
def _adapter() -> TypeAdapter[BuildRecord]:
    return TypeAdapter(BuildRecord)
