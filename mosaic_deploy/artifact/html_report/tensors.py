"""Which tensors 8 bits hurt, where ``sensitivity`` measured them, and what recipe ``auto`` tried and took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mosaic_deploy.artifact.html_report.figures import NONE, percent, plural, points, size
from mosaic_deploy.artifact.html_report.record import Record

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class TensorRow:
    """A tensor in the table."""

    name: str
    op: str
    flips: str
    drop: str
    """Of mIoU, in points; empty without labels."""
    width: float
    """Of its bar, in per cent of the worst one's."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """The worst first, and what the worst more finely would give."""

    basis: str
    rows: tuple[TensorRow, ...]
    more: int
    """Tensors that are not shown."""
    labelled: bool
    """Whether it is known what each does to mIoU."""
    lifts: tuple[tuple[str, str, str], ...]
    """Share that is lifted, conversions, and the agreement that is predicted."""
    lifts_to: str


def sensitivity(record: Record) -> Tensors | None:
    """The tensors that cost most; None where nobody measured them."""
    found = record.sensitivity
    if found is None:
        return None
    ranked = sorted((*found.activations, *found.weights), key=lambda each: -each.lost)
    most = max((each.lost for each in ranked), default=0.0) or 1.0
    rows = tuple(
        TensorRow(
            name=each.name,
            op=each.op,
            flips=percent(each.flips),
            drop="" if each.drop is None else points(-each.drop, 3),
            width=round(max(100 * each.lost / most, 0.5), 1),
        )
        for each in ranked[:_SHOWN]
    )
    images = plural(found.images, "image")
    lifts = ((0.0, 0, found.agreement), *((e.lifted, e.conversions, e.agreement) for e in found.lifts))
    return Tensors(
        basis=f"{images} of {found.data}, recipe {found.recipe}",
        rows=rows,
        more=len(ranked) - len(rows),
        labelled=any(row.drop for row in rows),
        lifts=tuple((percent(share, 0), f"{count:,}", percent(agreed)) for share, count, agreed in lifts),
        lifts_to=found.lifts_to,
    )


class Attempt(BaseModel):
    """One entry of ``facts["search"]["attempts"]``."""

    model_config = ConfigDict(frozen=True)

    method: str
    lifted: float
    tensors: int
    conversions: int
    agreement: float
    good: bool
    cost: float | None
    size: int
    error: str = ""
    corrected: bool = False


class Search(BaseModel):
    """``facts["search"]``: what recipe ``auto`` looked for, tried and took."""

    model_config = ConfigDict(frozen=True)

    goal: float
    held_out: int
    calibrated_on: int
    lifts_to: str | None
    cost_unit: str
    attempts: Annotated[tuple[Attempt, ...], Field(min_length=1, max_length=1000)]
    chosen: Annotated[int, Field(ge=0)]
    reached: bool


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt in the table."""

    what: str
    conversions: str
    agreement: str
    cost: str
    size: str
    outcome: str
    taken: bool


@dataclass(frozen=True, slots=True)
class Attempts:
    """What was looked for, tried and taken."""

    goal: str
    held_out: str
    calibrated_on: str
    cost_name: str
    simulated: bool
    reached: bool
    rows: tuple[AttemptRow, ...]


def tried(record: Record) -> Search | None:
    """What recipe ``auto`` states; None for other recipes, and where its record is none."""
    try:
        found = Search.model_validate(record.manifest.facts.get("search"))
    except ValidationError:
        return None
    return found if found.chosen < len(found.attempts) else None


def search(record: Record) -> Attempts | None:
    """What recipe ``auto`` tried, as a table."""
    found = tried(record)
    if found is None:
        return None
    simulated = found.cost_unit != "seconds"
    rows = tuple(_row(each, found, taken=index == found.chosen) for index, each in enumerate(found.attempts))
    return Attempts(
        goal=percent(found.goal),
        held_out=plural(found.held_out, "calibration image"),
        calibrated_on=f"{found.calibrated_on:,}",
        cost_name="Simulated cycles" if simulated else "Time of an image",
        simulated=simulated,
        reached=found.reached,
        rows=rows,
    )


def _row(each: Attempt, found: Search, *, taken: bool) -> AttemptRow:
    what = f"8 bits throughout, ranges by {each.method}"
    if each.tensors:
        what = f"{percent(each.lifted, 0)} of the activations in {found.lifts_to or 'finer steps'}"
    return AttemptRow(
        what=f"{what}, corrected biases" if each.corrected else what,
        conversions=f"{each.conversions:,}",
        agreement=NONE if each.error else percent(each.agreement),
        cost=_cost(each.cost, found.cost_unit),
        size=NONE if each.error else size(each.size),
        outcome="not compiled" if each.error else "enough" if each.good else "too little",
        taken=taken,
    )


def _cost(cost: float | None, unit: str) -> str:
    if cost is None:
        return NONE
    return f"{1e3 * cost:.1f}\u00a0ms" if unit == "seconds" else f"{cost / 1e6:,.0f}\u00a0million"
