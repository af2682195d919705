"""The verdict of one model on one target as a value: what stands in its way, and whether it passes.

The verdict says what the model is; whether the gate lets it pass also depends on waivers, on what an earlier
version of the model had already, and on what is made of nodes that nothing is known of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from mosaic_deploy.gate.config import Waiver
from mosaic_deploy.gate.op_support.judge import FAILING, Violation
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.recipe import QuantRecipe

Kind = Literal["supported", "supported after fixes", "undecided", "unsupported", "no table"]
"""``supported after fixes``: the exact passes that a build applies by itself do away with every refusal.
``undecided``: nothing is refused, and of some node nothing is known. ``no table``: nothing is known of the
target's compiler at all, and nothing passes."""

Basis = Literal["table", "asked"]
"""What a finding rests on: the op table, or the compiler itself, asked about this very part."""


@dataclass(frozen=True, slots=True)
class GateTarget:
    """A target as the gate needs it."""

    name: str
    recipe: QuantRecipe
    table: OpTable | None
    devices: tuple[str, ...]
    max_fallback_macs: float | None = None
    """Share of the multiply-accumulates, in [0, 1], that the target lets fall back; None is no limit."""


@dataclass(frozen=True, slots=True)
class Cure:
    """What would do away with a violation."""

    passes: tuple[str, ...]
    exact: bool
    """Whether a build applies them by itself; else only ``build --fix lossy`` does."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What the gate puts up with."""

    today: date
    waivers: tuple[Waiver, ...] = ()
    max_fallback_macs: float | None = None
    """Share of the multiply-accumulates, in [0, 1]; None leaves it to the target."""
    unknown_fails: bool = True
    """Whether a node that nothing is known of stops the gate."""


@dataclass(frozen=True, slots=True)
class Item:
    """A violation, and how the gate treats it."""

    violation: Violation
    deployed: bool
    """Whether it stands in what is deployed; else only in the model as it is, before it is quantised."""
    cure: Cure | None = None
    waiver: Waiver | None = None
    """The one in force."""
    expired: Waiver | None = None
    """One that would cover it, had its day not passed."""
    known: bool = False
    """Whether the earlier version of the model had it too."""
    unknown_fails: bool = False
    """Whether the gate says no to what is unknown."""
    basis: Basis = "table"
    reproducer: str = ""
    """File of the smallest part that the compiler refused, where it was asked and the part was saved."""

    @property
    def cured(self) -> bool:
        """Whether a build does away with it by itself."""
        return self.cure is not None and self.cure.exact

    @property
    def refused(self) -> bool:
        """Whether the target cannot have it as it stands, waived or not."""
        return self.deployed and self.violation.level in FAILING

    @property
    def undecided(self) -> bool:
        """Whether nothing is known of it, even after fixes."""
        return self.deployed and self.violation.level == "unknown" and not self.cured

    @property
    def fails(self) -> bool:
        """Whether the gate says no because of it."""
        counts = (self.refused and not self.cured) or (self.undecided and self.unknown_fails)
        return counts and self.waiver is None and not self.known

    @property
    def falls_back(self) -> bool:
        """Whether it runs on another kernel, or on another processor."""
        return self.deployed and self.violation.level == "fallback" and not self.cured


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nodes that the table did not clear, and the compiler does."""

    nodes: tuple[str, ...]
    op: str
    level: str
    """What the table made of them: ``unknown``, or a refusal that is not so."""
    part: tuple[str, ...]
    """Operators of the part that was compiled and run: the node alone, or with its neighbours."""
    difference: float | None
    """Largest to the reference, as a share of its range."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What asking the compiler came to, for one target."""

    tool: str
    """With its version; empty where nothing was asked."""
    note: str = ""
    """Why nothing, or not everything, was asked."""
    tried: int = 0
    """Parts that were compiled now."""
    recalled: int = 0
    """Parts whose outcome the evidence had already."""
    seconds: float = 0.0
    cleared: tuple[Cleared, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """The verdict on one model for one target."""

    target: str
    recipe: str
    table: str
    """Empty where there is none; then the fields from here to ``items`` are empty too."""
    tool: str = ""
    precision: Precision = "float"
    """What decided."""
    devices: tuple[str, ...] = ()
    nodes: int = 0
    macs: int = 0
    operators: tuple[tuple[str, int], ...] = ()
    items: tuple[Item, ...] = ()
    max_fallback_macs: float | None = None
    inquiry: Inquiry | None = None
    """What the compiler was asked, and what came of it; None where nobody wanted to know."""

    @property
    def kind(self) -> Kind:
        """What the model is on the target; waivers and earlier versions change nothing about that."""
        if not self.table:
            return "no table"
        if any(item.refused and not item.cured for item in self.items) or self._exceeds(self.items):
            return "unsupported"
        if any(item.undecided for item in self.items):
            return "undecided"
        return "supported after fixes" if any(item.refused for item in self.items) else "supported"

    @property
    def passed(self) -> bool:
        """Whether the gate lets the model pass, with what a build does to it by itself."""
        return bool(self.table) and not any(item.fails for item in self.items) and not self.too_much_fallback

    @property
    def fallback_macs_share(self) -> float:
        """Share of the multiply-accumulates, in [0, 1], that fall back and are not waived."""
        return _share([item for item in self.items if item.waiver is None])

    @property
    def too_much_fallback(self) -> bool:
        """Whether more falls back than may, and not all of it did before."""
        unwaived = [item for item in self.items if item.waiver is None]
        return self._exceeds(unwaived) and any(i.falls_back and not i.known for i in unwaived)

    @property
    def unknown(self) -> int:
        """Nodes that nothing is known of, even after fixes."""
        return sum(item.undecided for item in self.items)

    def count(self, level: str) -> int:
        """Count the violations of one level in what is deployed, those that a build cures by itself too."""
        return sum(item.deployed and item.violation.level == level for item in self.items)

    def _exceeds(self, items: Sequence[Item]) -> bool:
        return self.max_fallback_macs is not None and _share(items) > self.max_fallback_macs


def _share(items: Sequence[Item]) -> float:
    return min(1.0, sum(item.violation.macs_share for item in items if item.falls_back))
