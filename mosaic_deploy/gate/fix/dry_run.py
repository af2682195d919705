"""Would passes do away with a violation? Tried on the part of the graph around one node of its kind.

A network repeats its blocks, so one node stands for all that are refused for the same reason. It is a dry
run: nothing is computed. ``check --fix`` does the work on the whole graph, and verifies it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from mosaic_deploy.errors import ModelError
from mosaic_deploy.gate.op_support.judge import Violation
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.verdict import GateTarget
from mosaic_deploy.graph.facts import title
from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    import onnx

_HOPS = 6
"""More than from end to end of the longest pattern that a pass knows, LayerNormalization in its parts."""

_MOST = 48


def by_passes(
    model: onnx.ModelProto, subject: GateTarget, precision: Precision
) -> Callable[[Violation], bool]:
    """Make the test whether some pass would cure a violation; a ``gate.Fixer``."""
    assert subject.table is not None
    return _Trials(model, subject.table, precision, subject.devices).cures


@final
class _Trials:
    """Dry runs, one per kind of violation."""

    def __init__(
        self, model: onnx.ModelProto, table: OpTable, precision: Precision, devices: tuple[str, ...]
    ) -> None:
        self._model, self._table, self._precision, self._devices = model, table, precision, devices
        self._places: dict[str, int] = {}
        self._cured: dict[tuple[str, str, str, str], bool] = {}

    def cures(self, violation: Violation) -> bool:
        """Whether the kind of violation goes, and none as bad comes in its place; never of an unknown."""
        if violation.level == "unknown":
            return False
        from mosaic_deploy.gate.fix.fix import fixable  # a model without violations needs no passes

        if not fixable(violation.op):
            return False
        kind = (violation.op, violation.rule, violation.found, violation.allowed)
        if kind not in self._cured:
            self._cured[kind] = self._try(violation)
        return self._cured[kind]

    def _try(self, violation: Violation) -> bool:
        from mosaic_deploy.gate.fix.fix import fix
        from mosaic_deploy.graph.subgraph import around, cut

        if not self._places:
            self._places = {title(node): i for i, node in enumerate(self._model.graph.node)}
        place = self._places[violation.node]
        try:
            part = cut(self._model, around(self._model, place, hops=_HOPS, most=_MOST))
        except ModelError:  # shapes that only running tells
            return False
        _, report = fix(part, table=self._table, precision=self._precision, devices=self._devices)
        before = {found.node for found in report.before.violations}
        left = [
            found
            for found in report.after.violations
            if found.level != "unknown" and (found.node not in before or found.node == violation.node)
        ]
        return violation.node in before and not left
