"""The field's networks as subjects of a survey."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mosaic_deploy.datasets.camvid import LABELS
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.survey.field.fetcher import fetched
from mosaic_deploy.survey.field.maker import folder, made
from mosaic_deploy.survey.field.recipes import LIST, Fetched, Network, read_networks
from mosaic_deploy.survey.subject import Subject

MEAN, SCALE = 127.5, 64.0
"""As ``make.py`` settles the networks."""


def field_subjects(names: Sequence[str] = (), path: Path = LIST) -> tuple[Subject, ...]:
    """The networks of a list, or those named of it.

    Raises ``SpecError`` for a list that breaks its schema, ``UsageError`` for a name that it lacks.
    """
    return tuple(
        _trained(network) if isinstance(network, Fetched) else _random(network)
        for network in read_networks(path, names)
    )


def _trained(network: Fetched) -> Subject:
    height, width = network.size
    contract = Contract(
        height=height,
        width=width,
        mean=(network.mean,) * 3,
        scale=(network.scale,) * 3,
        classes=("background", network.thing),
        palette=((0, 0, 0), (220, 40, 60)),
        threshold=0.5,
    )
    return Subject(
        name=network.name,
        digest=network.digest(),
        make=partial(fetched, network, folder()),
        contract=contract,
        options=_fed(network.mean, network.scale),
    )


def _random(network: Network) -> Subject:
    contract = Contract(
        height=network.size,
        width=network.size,
        mean=(MEAN,) * 3,
        scale=(SCALE,) * 3,
        classes=LABELS.classes,
        palette=LABELS.palette,
        unscored=LABELS.unscored,
    )
    return Subject(
        name=network.name,
        digest=network.digest(),
        make=partial(made, network),
        contract=contract,
        options=_fed(MEAN, SCALE),
        data="streets",
        untrained=True,
    )


def _fed(mean: float, scale: float) -> tuple[str, ...]:
    return ("--input-mean", f"{mean:g}", "--input-scale", f"{scale:g}")
