"""Whether fixes exist for violations, without running anything.

A dry run on the violation's neighbourhood, cut out of the model, tells what passes can do about it, at a
fraction of what the whole model would cost. What exact passes leave of the whole model is asked once, where
they help at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, final

from mosaic_deploy.errors import ModelError
from mosaic_deploy.gate.judging import Rewritten
from mosaic_deploy.gate.op_support.judge import FAILING, Violation
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.verdict import Cure, GateTarget
from mosaic_deploy.graph.facts import title
from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    import onnx

_HOPS = 6
"""More than from end to end of the longest pattern that a pass knows, LayerNormalization in its parts."""

_MOST = 48
_NAME = re.compile(r"'[^']*'")
"""Of a tensor, in what was found: it tells no kinds apart."""


def by_passes(model: onnx.ModelProto, subject: GateTarget, precision: Precision) -> DryRuns:
    """Say what passes can do for a model on a target; a ``judging.Fixer``."""
    assert subject.table is not None
    return DryRuns(model, subject.table, precision, subject.devices)


@final
class DryRuns:
    """Dry runs, one per kind of violation; a ``judging.Fixes``."""

    def __init__(
        self, model: onnx.ModelProto, table: OpTable, precision: Precision, devices: tuple[str, ...]
    ) -> None:
        """Begin; nothing is tried yet."""
        self._model, self._table, self._precision, self._devices = model, table, precision, devices
        self._places: dict[str, int] = {}
        self._cures: dict[tuple[str, str, str, str], Cure | None] = {}

    def cure(self, violation: Violation) -> Cure | None:
        """What does away with the kind of refusal and makes none as bad; never of what may well run."""
        if violation.level not in FAILING:
            return None
        from mosaic_deploy.gate.fix.fix import fixable  # a model without violations needs no passes

        if not fixable(violation.op):
            return None
        kind = (violation.op, violation.rule, _NAME.sub("", violation.found), violation.allowed)
        if kind not in self._cures:
            self._cures[kind] = self._try(violation, exact=True) or self._try(violation, exact=False)
        return self._cures[kind]

    def rewrite(self) -> Rewritten:
        """The whole model as those exact passes leave it that cured something."""
        from mosaic_deploy.gate.fix.fix import EXACT, fix

        helpful = {name for cure in self._cures.values() if cure and cure.exact for name in cure.passes}
        model, report = fix(
            self._model, table=self._table, precision=self._precision, devices=self._devices,
            passes=[step for step in EXACT if step.name in helpful],
        )  # fmt: skip
        passes: dict[str, tuple[str, ...]] = {}
        for step in report.steps:
            for node in step.covered:
                passes[node] = (*passes.get(node, ()), step.name)
        return Rewritten(model, report.after, passes)

    def _try(self, violation: Violation, *, exact: bool) -> Cure | None:
        from mosaic_deploy.gate.fix.fix import EXACT, fix
        from mosaic_deploy.graph.passes import PASSES
        from mosaic_deploy.graph.subgraph import around, cut

        if not self._places:
            self._places = {title(node): i for i, node in enumerate(self._model.graph.node)}
        place = self._places.get(violation.node)
        if place is None:  # in a body of an If or Loop
            return None
        try:
            part = cut(self._model, around(self._model, place, hops=_HOPS, most=_MOST))
        except ModelError:  # shapes that only running tells
            return None
        _, report = fix(
            part, table=self._table, precision=self._precision, devices=self._devices,
            passes=EXACT if exact else PASSES,
        )  # fmt: skip
        before = {found.node for found in report.before.violations}
        left = [
            found
            for found in report.after.violations
            if found.level != "unknown" and (found.node not in before or found.node == violation.node)
        ]
        if violation.node not in before or left:
            return None
        return Cure(tuple(dict.fromkeys(step.name for step in report.steps)), report.exact)
