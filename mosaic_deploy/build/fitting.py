"""A network's graph for one target, judged as ``check`` judges it, and made to fit before it is compiled.

    table -> passes that cure a refusal, run on the build's own images -> table -> compiler asked -> verdict

Nothing is decided here otherwise than by ``check``: it is the same table, the same passes and the same
questions, kept in the same evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.build.float_graph import GraphFile
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.gate.ask.inquiry import AskTerms, inquire
from mosaic_deploy.gate.fix.dry_run import by_passes
from mosaic_deploy.gate.fix.fix import Recheck, allowed_passes, fix
from mosaic_deploy.gate.fix_report import FixReport
from mosaic_deploy.gate.judging import Fixer, judge_model
from mosaic_deploy.gate.op_support.judge import CheckReport, check
from mosaic_deploy.gate.verdict import GatePolicy, GateTarget, TargetVerdict
from mosaic_deploy.workers.progress import StageProgress, silent

if TYPE_CHECKING:
    import onnx

_IMAGES = 2
"""Validation images that a pass is re-checked on, beside random numbers."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A graph that is to be compiled for a target."""

    file: Path
    checked: CheckReport | None
    """What the gate says of it; None where the target has no op table."""
    fixed: FixReport | None = None
    """What was rewritten; None where nothing was."""


def fit(
    item: Plan, file: GraphFile, images: Sequence[Path], *, on_progress: StageProgress = silent
) -> Fitted:
    """Judge a graph for a plan's target, and rewrite what is refused as far as the plan's ``fix`` allows.

    Args:
        item: the target, and which passes may be used.
        file: the graph with the output kind that is deployed.
        images: inputs as the graph takes them, ``.npy``.
        on_progress: progress.

    Raises:
        ModelError: ONNX Runtime does not run the graph.
        ToolError: a re-check crashed, or took too long or too much memory.
        UsageError: the evidence of what compilers said cannot be read or written.
    """
    if item.table is None:
        return Fitted(file.path, None)
    subject = GateTarget(
        item.target.name, item.recipe, item.table, item.devices, item.target.max_fallback_macs
    )
    model, fixed = _rewritten(item, subject, file.judged, images)
    checked = _judged(model, subject, on_progress)
    if fixed is None or not fixed.steps:
        return Fitted(file.path, checked, fixed)
    return Fitted(_write(file.finished(model), file, item), checked, replace(fixed, after=checked))


def _rewritten(
    item: Plan, subject: GateTarget, model: onnx.ModelProto, images: Sequence[Path]
) -> tuple[onnx.ModelProto, FixReport | None]:
    """Apply the passes that ``check`` finds to cure a refusal, each verified by running."""
    passes = allowed_passes(item.fix)
    verdict = _verdict(model, subject, by_passes if passes else None)
    cures = [found.cure for found in verdict.items if found.refused and found.cure is not None]
    helpful = {name for cure in cures for name in cure.passes}
    chosen = [step for step in passes if step.name in helpful]
    if not chosen or subject.table is None:
        return model, None
    return fix(
        model,
        table=subject.table,
        precision=verdict.precision,
        devices=subject.devices,
        recheck=Recheck(inputs=tuple(images[:_IMAGES])),
        passes=chosen,
    )


def _verdict(model: onnx.ModelProto, subject: GateTarget, fixer: Fixer | None) -> TargetVerdict:
    (judged,) = judge_model(model, (subject,), path="", terms=_terms(), fixer=fixer)
    return judged.verdict


def _terms() -> GatePolicy:
    return GatePolicy(today=datetime.now(UTC).date(), unknown_fails=False)


def _judged(model: onnx.ModelProto, subject: GateTarget, on_progress: StageProgress) -> CheckReport:
    """What the table says of the graph as it is compiled, and where it does not clear a node the compiler."""
    (judged,) = judge_model(model, (subject,), path="", terms=_terms())
    table = subject.table
    assert table is not None
    verdict = inquire(judged, subject, AskTerms(), on_progress)
    report = check(model, table=table, precision=verdict.precision, devices=subject.devices)
    return replace(
        report,
        violations=tuple(found.violation for found in verdict.items if found.deployed),
        max_fallback_macs=subject.max_fallback_macs,
    )


def _write(model: onnx.ModelProto, file: GraphFile, item: Plan) -> Path:
    import onnx

    path = file.path.with_name(f"{file.path.stem}-for-{item.target.name}.onnx")
    onnx.save_model(model, path)
    return path
