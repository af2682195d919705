"""Subjects that need no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.survey.figures import Figures
from mosaic_deploy.survey.subject import Subject

CONTRACT = Contract(height=32, width=32, classes=("a", "b"), palette=((0, 0, 0), (9, 9, 9)))
SMALL = Figures(parameters=1000, macs=10**6, largest=0.5, ties=0.0)


def subject_of(name: str, folder: Path) -> Subject:
    return Subject(name, f"digest of {name}", lambda: folder / f"{name}.onnx", CONTRACT, untrained=True)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return subject_of("net", tmp_path)
