"""Records of trials, one JSON file each: a survey that was stopped goes on where it stood."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_names
from mosaic_deploy.survey.subject import Subject
from mosaic_deploy.survey.trial import Terms, Trial, from_json

_SOURCES = ("mosaic_deploy", "targets", "quant")
_LEFT_OUT = {"cli", "probing", "street_scenes", "survey", "zoo"}
"""Rooms that decide no outcome, or whose share in it is in the network's own digest."""


def sources_digest(root: Path | None = None) -> str:
    """Digest of the code and facts that decide an outcome, as they lie there, committed or not."""
    home = root or spec_root()
    held = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((home / folder).rglob("*")):
            inside = path.relative_to(home)
            if path.suffix in (".py", ".toml") and not _LEFT_OUT & set(inside.parts[1:2]):
                held.update(str(inside).encode() + b"\0" + path.read_bytes() + b"\0")
    for name in toolchain_names():
        held.update(load_toolchain(name).digest().encode())
    return held.hexdigest()[:16]


def key_of(subject: Subject, target: str, terms: Terms, sources: str) -> str:
    """Digest of all that a record depends on; where to stop a slow trial is not among it."""
    held = {**asdict(replace(terms, limit_s=0.0)), "network": subject.digest, "target": target}
    held |= {"sources": sources, "data": subject.data, "options": subject.options}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:16]


def folder_of(out: Path, network: str, target: str) -> Path:
    """Where a trial's logs and reports lie."""
    return out / target / network


def recall(out: Path, network: str, target: str, key: str | None) -> Trial | None:
    """The record of a trial, if there is one with this key; None for the key takes any."""
    try:
        found = from_json(json.loads((folder_of(out, network, target) / "trial.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if key in (None, found.key) else None


def keep(out: Path, trial: Trial) -> None:
    """Write a record."""
    place = folder_of(out, trial.network, trial.target) / "trial.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, json.dumps(trial.to_json(), indent=1) + "\n")
