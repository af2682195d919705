"""Exports that were made before, found by the digest of all that they depend on.

An export is a function of the weights, the network's code, the exporter's code and versions, the card's
switches and the input's size. ``ingredients`` lists them; their digest is the key. The reference model's
export comes with the project, in ``models/exports``; others are kept in the user's cache folder. Both are
taken only if their bytes have the sha256 that was noted when they were made.

    python -m mosaic_deploy.zoo.export_cache mosaic    # make the project's export anew, with PyTorch
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from mosaic_deploy.errors import ModelError
from mosaic_deploy.files import moved_in
from mosaic_deploy.graph.reader.read import FILE_BYTES
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import Spec
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import locate_spec, read_spec
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.zoo import ZOO
from mosaic_deploy.zoo.card_export import EXPORTER, export_card
from mosaic_deploy.zoo.sources import sources
from mosaic_deploy.zoo.untrained import SEED, scenes

_RECORD_BYTES = 1 << 16
_SHA256 = r"^[0-9a-f]{64}$"
_EXPORTING = "mosaic_deploy.zoo.card_export"


class Record(Spec):
    """What is noted beside an export."""

    schema_version: int = Field(alias="schema", ge=1, le=1)
    key: str = Field(pattern=_SHA256)
    sha256: str = Field(pattern=_SHA256)
    """Of the ONNX file."""
    versions: dict[str, str]
    """Of what made it."""
    made_from: dict[str, object]
    """The ingredients, to be read by people: which of them changed."""


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was found."""

    model: bytes
    """The ONNX file."""
    versions: Mapping[str, str]


def ingredients(card: ModelCard, root: Path) -> dict[str, object] | None:
    """All that the export of a card depends on; None for one whose export is not kept.

    That is a card of an ONNX file, and one whose weights are not there. One without any gets untrained ones,
    which depend on the scenes that they settle on.

    Args:
        card: any card.
        root: folder that its relative paths start from.
    """
    source, contract = card.source, card.contract
    if source.factory is None or source.factory not in ZOO:
        return None
    try:
        weights = _untrained(contract) if source.weights is None else _digest(root / source.weights)
    except OSError:
        return None
    code = sources(ZOO[source.factory], _EXPORTING)
    if not card.untrained:
        code.pop("zoo/untrained.py", None)
    return {
        "factory": source.factory,
        "switches": source.model_dump(mode="json")["switches"],
        "weights": weights,
        "input": [contract.layout, contract.dtype, contract.height, contract.width],
        "output": contract.output,
        "sources": code,
        "exporter": dict(EXPORTER),
    }


def _untrained(contract: Contract) -> dict[str, object]:
    """What weights depend on that nobody trained, beside the network's code."""
    feeding = [contract.mean, contract.scale, contract.colour]
    return {"untrained": SEED, "feeding": feeding, "scenes": [_digest(path) for path in scenes()]}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def key_of(made_from: Mapping[str, object]) -> str:
    """The digest of ingredients."""
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def find_export(card: ModelCard, root: Path) -> Export | None:
    """The export of a card, from the project's or the user's folder, or None."""
    made_from = ingredients(card, root)
    if made_from is None:
        return None
    key = key_of(made_from)
    candidates = (_read(place, key) for place in _places(key))
    return next((export for export in candidates if export is not None), None)


def keep_export(card: ModelCard, root: Path, onnx: Path, versions: Mapping[str, str]) -> bool:
    """Put an export into the user's cache folder; whether it was.

    It is not where other versions made it than those whose exports are cached, or nothing can be written.
    """
    made_from, folder = ingredients(card, root), _user_folder()
    plain = {name: version.partition("+")[0] for name, version in versions.items()}
    if made_from is None or folder is None or plain != dict(EXPORTER):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / key_of(made_from), made_from, onnx.read_bytes(), versions)
    except OSError:
        return False
    return True


def refresh_export(name: str) -> Path:
    """Export a card of the project with PyTorch into ``models/exports``; returns the ONNX file.

    Raises ``MosaicError`` where that cannot be done.
    """
    path = locate_spec(ModelCard, name)
    card = read_spec(ModelCard, path)
    made_from = ingredients(card, path.parent)
    if made_from is None or card.untrained:
        raise ModelError(f"{path}: only a network of the zoo with its weights has an export that is kept")
    with tempfile.TemporaryDirectory(prefix="mosaic-export-") as folder:
        made = Path(folder) / "model.onnx"
        versions = export_card(card, path.parent, made, lambda _share, _text: None)
        stem = _project_folder() / card.name
        stem.parent.mkdir(exist_ok=True)
        _write(stem, made_from, made.read_bytes(), versions)
    return stem.with_suffix(".onnx")


def _project_folder() -> Path:
    return spec_root() / "models" / "exports"


def _user_folder() -> Path | None:
    """``mosaic-deploy/exports`` in the user's cache folder; None where there is no home."""
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = stated if stated.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "mosaic-deploy" / "exports"


def _places(key: str) -> Iterator[Path]:
    """Records that may be of that key."""
    yield from sorted(_project_folder().glob("*.json"))
    folder = _user_folder()
    if folder is not None:
        yield folder / f"{key}.json"


def _read(place: Path, key: str) -> Export | None:
    """The export that a record describes, if it is of that key and whole."""
    try:
        with open(place, "rb") as file:
            record = Record.model_validate_json(file.read(_RECORD_BYTES))
        if record.key != key:
            return None
        with open(place.with_suffix(".onnx"), "rb") as file:
            model = file.read(FILE_BYTES)
    except (OSError, ValidationError):
        return None
    if hashlib.sha256(model).hexdigest() != record.sha256:
        return None
    return Export(model, record.versions)


def _write(stem: Path, made_from: Mapping[str, object], model: bytes, versions: Mapping[str, str]) -> None:
    """Write the file and then its record, each beside its place and moved in."""
    record = {
        "schema": 1,
        "key": key_of(made_from),
        "sha256": hashlib.sha256(model).hexdigest(),
        "versions": dict(versions),
        "made_from": dict(made_from),
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    with moved_in(stem.with_name(f"{stem.name}.onnx"), stem.with_name(f"{stem.name}.json")) as (graph, note):
        graph.write_bytes(model)
        note.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(refresh_export(argument))
