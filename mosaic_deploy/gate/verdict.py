"""The verdict of one model on several targets: what stands in its way, and whether the gate lets it pass.

The verdict says what the model is; whether the gate lets it pass also depends on waivers and on what an
earlier version of the model had already. Every node is judged twice: as it is, and as the target's recipe
will leave it. The second decides, for that is what a phone gets; a model that is quantised already has only
the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.config import Waiver
from mosaic_deploy.gate.op_support.judge import FAILING, CheckReport, Violation, check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.facts import Node, nodes_with_bodies
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec

if TYPE_CHECKING:
    import onnx

Kind = Literal["supported", "supported after fixes", "unsupported", "no table"]
"""``no table``: nothing is known of the target's compiler, so there is no verdict, and nothing passes."""


@dataclass(frozen=True, slots=True)
class GateTarget:
    """A target as the gate needs it."""

    name: str
    recipe: QuantRecipe
    table: OpTable | None
    devices: tuple[str, ...]


Fixer = Callable[["onnx.ModelProto", GateTarget, Precision], Callable[[Violation], bool]]
"""Makes, for a model on a target, the test whether some pass would do away with a violation."""


def no_fixes(
    _model: onnx.ModelProto, _subject: GateTarget, _precision: Precision
) -> Callable[[Violation], bool]:
    """Fix nothing."""
    return lambda _: False


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What the gate puts up with."""

    today: date
    waivers: tuple[Waiver, ...] = ()
    max_fallback_macs: float | None = None
    """Share of the multiply-accumulates, in [0, 1]; None is no limit."""
    fixer: Fixer = no_fixes


@dataclass(frozen=True, slots=True)
class Item:
    """A violation, and how the gate treats it."""

    violation: Violation
    deployed: bool
    """Whether it stands in what is deployed; else only in the model as it is, before it is quantised."""
    fixable: bool = False
    waiver: Waiver | None = None
    """The one in force."""
    expired: Waiver | None = None
    """One that would cover it, had its day not passed."""
    known: bool = False
    """Whether the earlier version of the model had it too."""

    @property
    def refused(self) -> bool:
        """Whether the target cannot have it, waived or not."""
        return self.deployed and self.violation.level in FAILING

    @property
    def fails(self) -> bool:
        """Whether the gate says no because of it."""
        return self.refused and self.waiver is None and not self.known

    @property
    def falls_back(self) -> bool:
        """Whether it runs on another processor."""
        return self.deployed and self.violation.level == "cpu-fallback"


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

    @property
    def kind(self) -> Kind:
        """What the model is on the target; waivers and earlier versions change nothing about that."""
        if not self.table:
            return "no table"
        if not any(item.refused for item in self.items) and not self._exceeds(self.items):
            return "supported"
        left = [item for item in self.items if not item.fixable]
        lost = any(item.refused for item in left) or self._exceeds(left)
        return "unsupported" if lost else "supported after fixes"

    @property
    def passed(self) -> bool:
        """Whether the gate lets the model pass as it is."""
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

    def count(self, level: str) -> int:
        """Count the violations of one level in what is deployed."""
        return sum(item.deployed and item.violation.level == level for item in self.items)

    def _exceeds(self, items: Sequence[Item]) -> bool:
        return self.max_fallback_macs is not None and _share(items) > self.max_fallback_macs


def _share(items: Sequence[Item]) -> float:
    return min(1.0, sum(item.violation.macs_share for item in items if item.falls_back))


def find_subject(name: str, recipe: str | None = None) -> GateTarget:
    """Load a target with a recipe of its own, by default its first.

    Raises ``SpecError`` for an unknown name, and ``UsageError`` for a recipe that the target does not take.
    """
    target = load_spec(TargetSpec, name)
    chosen = load_spec(QuantRecipe, recipe or target.recipes[0])
    if chosen.name not in target.recipes:
        raise UsageError(
            f"recipe {chosen.name} is not for target {target.name}, which takes {', '.join(target.recipes)}"
        )
    if target.ops is None:
        return GateTarget(target.name, chosen, None, ())
    backend = load_backend(target.backend)
    devices = backend.devices(backend.check_options(target, {}))
    return GateTarget(target.name, chosen, load_table(target.ops), devices)


def judge_model(
    model: onnx.ModelProto, subjects: Sequence[GateTarget], *, path: str, terms: GatePolicy
) -> tuple[TargetVerdict, ...]:
    """Judge a model, as ``read_model`` returned it, on each target.

    Args:
        model: what is judged.
        subjects: the targets, in the order of the verdicts.
        path: the model's, from the config's folder, which waivers may name.
        terms: what the gate puts up with.
    """
    described = nodes_with_bodies(model)
    return tuple(_judge(model, described, subject, path, terms) for subject in subjects)


def decisive(described: Sequence[Node], subject: GateTarget) -> Precision:
    """Say what a model is judged as: a quantised one as it is, any other as the recipe will leave it."""
    quantized = any(node.op == "QuantizeLinear" and not node.folded for node in described)
    return "float" if quantized else subject.recipe.precision


def mark_known(verdict: TargetVerdict, base: TargetVerdict) -> TargetVerdict:
    """Mark what an earlier version of the model had too.

    A violation is known if the same node violated the same rule as badly; or, where nodes were renamed, as
    often as the same was found of the same operator.
    """
    named = Counter(_by_name(item) for item in base.items)
    known = [_take(named, _by_name(item)) for item in verdict.items]
    alike = Counter(_by_finding(item) for item in base.items)
    alike.subtract(_by_finding(i) for i, old in zip(verdict.items, known, strict=True) if old)
    items = tuple(
        replace(item, known=old or _take(alike, _by_finding(item)))
        for item, old in zip(verdict.items, known, strict=True)
    )
    return replace(verdict, items=items)


def _by_name(item: Item) -> tuple[object, ...]:
    found = item.violation
    return item.deployed, found.level, found.rule, found.op, found.node


def _by_finding(item: Item) -> tuple[object, ...]:
    found = item.violation
    return item.deployed, found.level, found.rule, found.op, found.found


def _take(counts: Counter[tuple[object, ...]], key: tuple[object, ...]) -> bool:
    if counts[key] <= 0:
        return False
    counts[key] -= 1
    return True


def _judge(
    model: onnx.ModelProto, described: tuple[Node, ...], subject: GateTarget, path: str, terms: GatePolicy
) -> TargetVerdict:
    if subject.table is None:
        return TargetVerdict(subject.name, subject.recipe.name, "")
    precision = decisive(described, subject)

    def judge(precision: Precision) -> CheckReport:
        assert subject.table is not None
        return check(
            model, table=subject.table, precision=precision, devices=subject.devices, described=described
        )

    final = judge(precision)
    takes_floats = any(rule.accepts and rule.dtypes for rule in subject.table.rules)
    before = judge("float") if takes_floats and precision != "float" else final
    fixable = terms.fixer(model, subject, precision)
    waivers = [waiver for waiver in terms.waivers if waiver.applies(subject.name, path)]
    return TargetVerdict(
        target=subject.name,
        recipe=subject.recipe.name,
        table=final.table,
        tool=final.tool,
        precision=precision,
        devices=final.devices,
        nodes=final.nodes,
        macs=final.macs,
        operators=final.operators,
        items=tuple(
            _weigh(item, waivers, terms.today, fixable)
            for item in _merge(final.violations, before.violations)
        ),
        max_fallback_macs=terms.max_fallback_macs,
    )


def _merge(final: Sequence[Violation], before: Sequence[Violation]) -> list[Item]:
    """Join what both found; of a node that is as bad in both, what will be deployed tells enough."""
    said = {(found.node, found.level) for found in final}
    return [
        *(Item(found, deployed=True) for found in final),
        *(Item(found, deployed=False) for found in before if (found.node, found.level) not in said),
    ]


def _weigh(item: Item, waivers: Sequence[Waiver], today: date, fixable: Callable[[Violation], bool]) -> Item:
    found = item.violation
    covering = [waiver for waiver in waivers if waiver.covers(found.node, found.op)]
    return replace(
        item,
        fixable=fixable(found),
        waiver=next((waiver for waiver in covering if not waiver.expired(today)), None),
        expired=next((waiver for waiver in covering if waiver.expired(today)), None),
    )
