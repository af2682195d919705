"""The contract that a file is taken to keep where it says nothing itself, and whose word that is."""

from __future__ import annotations

from dataclasses import dataclass

from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import locate_spec, read_spec

_ANY_SIDE = 512


@dataclass(frozen=True, slots=True)
class Basis:
    """A contract, and who said it."""

    contract: Contract
    said_by: str
    """In words: ``the reference's``."""
    sized: bool = True
    """Whether its height and width mean something."""


def of_card(name: str) -> Basis:
    """A model card's; raises ``SpecError`` for an unknown name or a card that breaks its schema."""
    card = read_spec(ModelCard, locate_spec(ModelCard, name))
    return Basis(card.contract, f"the card {card.name}'s")


def of_labels(labels: LabelSpace) -> Basis | None:
    """The classes of a data set, and pixels as they are; None where the data set has no classes.

    A file that takes anything else than bytes must then say, or be said, how pixels become its input.
    """
    if not labels.classes:
        return None
    contract = Contract(
        height=_ANY_SIDE,
        width=_ANY_SIDE,
        dtype="uint8",
        classes=labels.classes,
        palette=labels.palette,
        unscored=labels.unscored,
    )
    return Basis(contract, "the data set's classes, pixels as they are", sized=False)
