"""From a model and a target to a verdict.

Every node is judged twice: as it is, and as the target's recipe will leave it. The second decides, for that
is what a phone gets; a model that is quantised already has only the first. Where exact passes do away with a
refusal, the graph that they leave is judged as well, whole: it is what a build compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.config import Waiver
from mosaic_deploy.gate.op_support.judge import CheckReport, Violation, check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.verdict import Cure, GatePolicy, GateTarget, Item, TargetVerdict
from mosaic_deploy.graph.facts import Node, nodes_with_bodies
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A model as the exact passes leave it."""

    model: onnx.ModelProto
    after: CheckReport
    passes: Mapping[str, tuple[str, ...]]
    """Node's name -> passes that replaced it."""


class Fixes(Protocol):
    """What passes can do for one model on one target."""

    def cure(self, violation: Violation) -> Cure | None:
        """What would do away with a violation, if anything would; exact passes before lossy ones."""

    def rewrite(self) -> Rewritten:
        """The whole model as a build's exact passes leave it."""


Fixer = Callable[["onnx.ModelProto", GateTarget, Precision], Fixes]


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and the graph that a build would compile."""

    verdict: TargetVerdict
    model: onnx.ModelProto


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
        return GateTarget(target.name, chosen, None, (), target.max_fallback_macs)
    backend = load_backend(target.backend)
    devices = backend.devices(backend.check_options(target, {}))
    return GateTarget(target.name, chosen, load_table(target.ops), devices, target.max_fallback_macs)


def judge_model(
    model: onnx.ModelProto,
    subjects: Sequence[GateTarget],
    *,
    path: str,
    terms: GatePolicy,
    fixer: Fixer | None = None,
) -> tuple[Judged, ...]:
    """Judge a model, as ``read_model`` returned it, on each target.

    Args:
        model: what is judged.
        subjects: the targets, in the order of the verdicts.
        path: the model's, from the config's folder, which waivers may name.
        terms: what the gate puts up with.
        fixer: finds what passes can do; None leaves every refusal as it is.
    """
    described = nodes_with_bodies(model)
    return tuple(_judge(model, described, subject, path, terms, fixer) for subject in subjects)


def decisive(described: Sequence[Node], subject: GateTarget) -> Precision:
    """Say what a model is judged as: a quantised one as it is, any other as the recipe will leave it."""
    quantized = any(node.op == "QuantizeLinear" and not node.folded for node in described)
    return "float" if quantized else subject.recipe.precision


def weigh(item: Item, waivers: Sequence[Waiver], terms: GatePolicy) -> Item:
    """Apply what the gate puts up with to a violation."""
    found = item.violation
    covering = [waiver for waiver in waivers if waiver.covers(found.node, found.op)]
    return replace(
        item,
        unknown_fails=terms.unknown_fails,
        waiver=next((waiver for waiver in covering if not waiver.expired(terms.today)), None),
        expired=next((waiver for waiver in covering if waiver.expired(terms.today)), None),
    )


def _judge(
    model: onnx.ModelProto,
    described: tuple[Node, ...],
    subject: GateTarget,
    path: str,
    terms: GatePolicy,
    fixer: Fixer | None,
) -> Judged:
    if subject.table is None:
        return Judged(TargetVerdict(subject.name, subject.recipe.name, ""), model)
    table, precision = subject.table, decisive(described, subject)

    def judge(precision: Precision) -> CheckReport:
        return check(model, table=table, precision=precision, devices=subject.devices, described=described)

    final = judge(precision)
    takes_floats = any(rule.accepts and rule.dtypes for rule in table.rules)
    before = judge("float") if takes_floats and precision != "float" else final
    items, built = _merge(final.violations, before.violations), model
    if fixer is not None:
        items, built = _with_fixes(items, model, fixer(model, subject, precision))
    waivers = [waiver for waiver in terms.waivers if waiver.applies(subject.name, path)]
    limit = subject.max_fallback_macs if terms.max_fallback_macs is None else terms.max_fallback_macs
    verdict = TargetVerdict(
        target=subject.name,
        recipe=subject.recipe.name,
        table=final.table,
        tool=final.tool,
        precision=precision,
        devices=final.devices,
        nodes=final.nodes,
        macs=final.macs,
        operators=final.operators,
        items=tuple(weigh(item, waivers, terms) for item in items),
        max_fallback_macs=limit,
    )
    return Judged(verdict, built)


def _merge(final: Sequence[Violation], before: Sequence[Violation]) -> list[Item]:
    """Join what both found; of a node that is as bad in both, what will be deployed tells enough."""
    said = {(found.node, found.level) for found in final}
    return [
        *(Item(found, deployed=True) for found in final),
        *(Item(found, deployed=False) for found in before if (found.node, found.level) not in said),
    ]


def _with_fixes(
    items: Sequence[Item], model: onnx.ModelProto, fixes: Fixes
) -> tuple[list[Item], onnx.ModelProto]:
    """Note what passes cure; what exact ones do is believed only of the whole graph, as they leave it."""
    tried = [replace(item, cure=fixes.cure(item.violation)) for item in items]
    if not any(item.refused and item.cured for item in tried):
        return tried, model
    made = fixes.rewrite()
    still = {(found.node, found.level): found for found in made.after.violations}
    kept = []
    for item in tried:
        found, replaced = item.violation, made.passes.get(item.violation.node, ())
        if not item.deployed:
            kept.append(item)
        elif (found.node, found.level) in still or not (replaced or item.cured):
            kept.append(replace(item, cure=None if item.cured else item.cure))
        else:
            kept.append(replace(item, cure=Cure(replaced or item.cure.passes, exact=True)))  # type: ignore[union-attr]
    old = {item.violation.node for item in items if item.deployed}
    new = [Item(found, deployed=True) for found in made.after.violations if found.node not in old]
    return [*kept, *new], made.model
