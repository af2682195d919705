"""An artifact's folder, opened again from its manifest alone.

A folder that was handed on comes from a stranger: before anything is loaded, the manifest is held against
its schema, each path must stay inside the folder, and every file that a runtime or the float reference reads
must be the one that was built.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from mosaic_deploy._version import __version__
from mosaic_deploy.artifact.manifest import MANIFEST, SCHEMA, Entry, Manifest, NetworkFacts
from mosaic_deploy.artifact.store import shipped_bytes
from mosaic_deploy.backends.protocol import Backend, CompiledModel, File, WorkDir
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, SpecError, ToolError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.specs.contract import Contract

_MANIFEST_BYTES = 1 << 24
_REPORTS = frozenset({"check", "golden", "integrate", "log", "page", "parity", "preview", "report", "view"})
"""Kinds of files for people, which nothing loads: one may be left out when a folder is handed on."""
_FLOAT = "float-onnx"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact whose files are those that were built."""

    built: CompiledModel
    """As the backend made it, but for the steps: with its own files only."""
    contract: Contract
    """The artifact's: its layout and output kind, which may differ from the model's."""
    model: str
    target: str
    recipe: str
    backend: str
    passed: bool
    """The verdict of the gates when it was built."""
    entries: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """Of the network that ships; of the largest where there is one for each device."""
        return shipped_bytes(self.entries)

    @property
    def float_onnx(self) -> Entry | None:
        """The float network that it was made from; None where it was left out."""
        return next((e for e in self.entries if e.kind == _FLOAT and self.path(e).is_file()), None)

    def path(self, entry: Entry) -> Path:
        """Where a file lies."""
        return self.built.folder / entry.path

    def load_backend(self) -> Backend:
        """The backend that runs it; raises ``ToolError`` where this machine lacks its runtime."""
        backend = load_backend(self.backend)
        missing = backend.missing()
        if missing is not None:
            raise ToolError(f"{self.built.folder}: {missing}")
        return backend


def open_artifact(folder: Path) -> Artifact:
    """Open what ``mosaic-deploy build`` wrote.

    Raises:
        ModelError: it is no artifact, of a schema that this version does not know, was changed after it was
            built, or holds no network, as its operators were refused.
    """
    place = folder / MANIFEST
    manifest = read_manifest(place)
    entries = manifest.files
    for entry in entries:
        _require_intact(folder, entry)
    if not any(entry.ships for entry in entries):
        raise ModelError(
            f"{folder}: holds no compiled network, as its operator check failed: see {folder / 'check.json'}"
        )
    try:
        NetworkFacts.model_validate(manifest.facts)
        load_backend(manifest.target.backend)
    except ValidationError as err:
        raise ModelError(f"{place}: {_first(err, 'facts.')}: build the artifact again") from err
    except SpecError as err:
        raise ModelError(f"{place}: {err}") from err
    own = (entry for entry in entries if entry.kind not in (_FLOAT, *_REPORTS))
    files = tuple(File(entry.path, entry.kind, entry.ships, entry.part_of) for entry in own)
    return Artifact(
        built=CompiledModel(folder, files, (), manifest.facts),
        contract=_contract(place, manifest.contract),
        model=manifest.model,
        target=manifest.target.name,
        recipe=manifest.recipe.name,
        backend=manifest.target.backend,
        passed=manifest.passed,
        entries=entries,
    )


@contextmanager
def workspace() -> Iterator[WorkDir]:
    """A temporary folder to run things in; its logs stay where a tool failed, as its error names one.

    Raises ``ToolError`` where the disk is full.
    """
    kept = False
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="mosaic-deploy-"))
        space = WorkDir(folder / "scratch", folder / "logs")
        space.scratch.mkdir()
        space.logs.mkdir()
        yield space
    except ToolError:
        kept = True
        raise
    except OSError as err:
        raise ToolError(f"{tempfile.gettempdir()}: cannot be written ({err.strerror or err})") from err
    finally:
        if folder is not None:
            kept = kept and any((folder / "logs").rglob("*.log"))
            shutil.rmtree(folder / "scratch" if kept else folder, ignore_errors=True)


def read_manifest(place: Path) -> Manifest:
    """Read ``manifest.json``; raises ``ModelError`` for what is none that this version reads."""
    try:
        if place.stat().st_size > _MANIFEST_BYTES or not place.is_file():
            raise ModelError(f"{place}: is not a manifest: name a folder that 'mosaic-deploy build' wrote")
        raw = json.loads(place.read_bytes())
    except OSError as err:
        raise ModelError(
            f"{place.parent}: no artifact ({MANIFEST}: {err.strerror}): "
            "name a folder that 'mosaic-deploy build' wrote"
        ) from err
    except (ValueError, RecursionError) as err:
        raise ModelError(f"{place}: not JSON: build the artifact again") from err
    schema = raw.get("schema") if isinstance(raw, Mapping) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise ModelError(
            f"{place}: its schema is {schema!r:.40}, mosaic-deploy {__version__} reads {SCHEMA}: "
            "use the version that wrote it, or build the artifact again"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as err:
        raise ModelError(f"{place}: {_first(err)}: build the artifact again") from err


def _require_intact(folder: Path, entry: Entry) -> None:
    """Raise ``ModelError`` unless a file lies in the folder and is the one that was listed."""
    inside = PurePosixPath(entry.path)
    path = folder / inside
    try:
        stays = not inside.is_absolute() and path.resolve().is_relative_to(folder.resolve())
        if not stays or ".." in inside.parts or not inside.name:
            raise ModelError(f"{folder / MANIFEST}: {entry.path!r:.80} points outside the artifact's folder")
        if entry.kind in _REPORTS:
            return
        if not path.is_file():
            if entry.kind == _FLOAT:
                return  # only a benchmark's baseline; it says so itself where it is not there
            raise ModelError(f"{path}: is missing: build the artifact again, or copy it whole")
        if path.stat().st_size != entry.bytes or sha256_of(path) != entry.sha256:
            raise ModelError(
                f"{path}: is not the file that was built (sha256 differs): build the artifact again"
            )
    except (OSError, ValueError, RuntimeError) as err:  # unreadable, a zero byte, a loop of links
        raise ModelError(f"{folder / MANIFEST}: {entry.path!r:.80} cannot be read ({err})") from err


def _contract(place: Path, record: Mapping[str, Any]) -> Contract:
    stated = record.get("digest")
    try:
        contract = Contract.model_validate({k: v for k, v in record.items() if k != "digest"})
    except ValidationError as err:
        raise ModelError(f"{place}: {_first(err, 'contract.')}: build the artifact again") from err
    if stated != contract.digest():
        raise ModelError(
            f"{place}: its contract was changed after the build (digest differs): build the artifact again"
        )
    return contract


def _first(err: ValidationError, prefix: str = "") -> str:
    """The first problem in words."""
    problem = err.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    said = problem["msg"].removeprefix("Value error, ").replace("\n", " ")
    return f"{prefix}{where}: {said}"[:300]
