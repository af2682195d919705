"""The field's networks as subjects of a survey."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mosaic_deploy.datasets.camvid import LABELS
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.survey.field.maker import made
from mosaic_deploy.survey.field.recipes import LIST, Network, read_networks
from mosaic_deploy.survey.subject import Subject

MEAN, SCALE = 127.5, 64.0
"""As ``make.py`` settles the networks."""


def field_subjects(names: Sequence[str] = (), path: Path = LIST) -> tuple[Subject, ...]:
    """The networks of a list, or those named of it.

    Raises ``SpecError`` for a list that breaks its schema, ``UsageError`` for a name that it lacks.
    """
    return tuple(_subject(network) for network in read_networks(path, names))


def _subject(network: Network) -> Subject:
    contract = Contract(
        height=network.size,
        width=network.size,
        mean=(MEAN,) * 3,
        scale=(SCALE,) * 3,
        classes=LABELS.classes,
        palette=LABELS.palette,
        unscored=LABELS.unscored,
    )
    fed = ("--input-mean", f"{MEAN:g}", "--input-scale", f"{SCALE:g}")
    return Subject(
        name=network.name,
        digest=network.digest(),
        make=partial(made, network),
        contract=contract,
        options=fed,
        data="streets",
        untrained=True,
    )
