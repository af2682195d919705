"""The zoo's model cards as subjects of a survey."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mosaic_deploy.build.float_graph import write_float_graph
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.datasets import open_data
from mosaic_deploy.errors import DataError
from mosaic_deploy.files import disk_trouble, moved_in
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec, locate_spec, spec_names
from mosaic_deploy.survey.subject import Subject, alone, survey_folder
from mosaic_deploy.zoo.export_cache import ingredients


def card_subjects(names: Sequence[str] = ()) -> tuple[Subject, ...]:
    """The project's model cards, or those named: by name, or by the path of a ``.toml`` file.

    Raises ``SpecError`` for an unknown name, and for a card that breaks its schema.
    """
    wanted = tuple(dict.fromkeys(names)) or spec_names(ModelCard)
    return tuple(_subject(name) for name in wanted)


def _subject(name: str) -> Subject:
    card, root = load_spec(ModelCard, name), locate_spec(ModelCard, name).parent
    digest = _digest(card, root)
    return Subject(
        name=card.name,
        digest=digest,
        make=partial(_make, card, root, digest),
        contract=card.contract,
        card=name,
        data="" if card.untrained else _data(card),
        untrained=card.untrained,
    )


def _data(card: ModelCard) -> str:
    """The card's data set where it is on this machine and its classes are the network's; else ''."""
    if card.data is None:
        return ""
    try:
        card.contract.require(open_data(card.data, split="val").labels, dataset=card.data)
    except DataError:
        return ""
    return card.data


def _digest(card: ModelCard, root: Path) -> str:
    files = [path for path in (card.source.weights, card.source.onnx) if path is not None]
    held = {
        "card": card.model_dump(mode="json", by_alias=True, exclude={"summary", "training", "published"}),
        "made_from": ingredients(card, root),
        "files": [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in files],
    }
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def _make(card: ModelCard, root: Path, digest: str) -> Path:
    # The name of the file is the name of the model in every report.
    place = survey_folder() / digest / f"{card.name}.onnx"
    if place.is_file():
        return place
    with disk_trouble(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with alone(place.parent / ".lock"), tempfile.TemporaryDirectory(prefix="mosaic-survey-") as scratch:
            if not place.is_file():
                folder = Path(scratch)
                (folder / "logs").mkdir()
                graph = write_float_graph(
                    Model(card, root), folder, folder / "logs", on_progress=lambda _share, _note: None
                )
                with moved_in(place) as (part,):
                    part.write_bytes(graph.path.read_bytes())
    return place
