"""A network's graph for one target: checked, rewritten by passes where that helps, and checked again.

check -> violations -> passes -> both graphs run on the build's own images -> the graph that is compiled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.build.float_graph import GraphFile
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.gate.fix.fix import Recheck, allowed_passes, fix
from mosaic_deploy.gate.fix_report import FixReport
from mosaic_deploy.gate.judging import decisive
from mosaic_deploy.gate.op_support.judge import CheckReport, check
from mosaic_deploy.gate.verdict import GateTarget
from mosaic_deploy.graph.facts import nodes_with_bodies

if TYPE_CHECKING:
    import onnx

_IMAGES = 2
"""Validation images that a pass is re-checked on, beside random numbers."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A graph that is to be compiled for a target."""

    file: Path
    checked: CheckReport | None
    """What the op table says of it; None where the target has none."""
    fixed: FixReport | None = None
    """What was rewritten; None where nothing was."""


def fit(item: Plan, file: GraphFile, images: Sequence[Path]) -> Fitted:
    """Check a graph for a plan's target and rewrite what is refused, as far as the plan's ``fix`` allows.

    Args:
        item: the target, and which passes may be used.
        file: the graph with the output kind that is deployed.
        images: inputs as the graph takes them, ``.npy``.

    Raises:
        ModelError: ONNX Runtime does not run the graph.
        ToolError: a re-check crashed, or took too long or too much memory.
    """
    if item.table is None:
        return Fitted(file.path, None)
    subject = GateTarget(item.target.name, item.recipe, item.table, item.devices)
    precision = decisive(nodes_with_bodies(file.model), subject)
    checked = check(file.model, table=item.table, precision=precision, devices=item.devices)
    passes = allowed_passes(item.fix)
    if not checked.violations or not passes:
        return Fitted(file.path, checked)
    model, report = fix(
        file.model,
        table=item.table,
        precision=precision,
        devices=item.devices,
        recheck=Recheck(inputs=tuple(images[:_IMAGES])),
        passes=passes,
    )
    if not report.steps:
        return Fitted(file.path, checked, report if report.withdrawn else None)
    return Fitted(_write(model, file, item), report.after, report)


def _write(model: onnx.ModelProto, file: GraphFile, item: Plan) -> Path:
    import onnx

    path = file.path.with_name(f"{file.path.stem}-for-{item.target.name}.onnx")
    onnx.save_model(model, path)
    return path
