"""Whether a compiler is asked about what a table does not clear, and where its answers are kept.

The command line, Python and builds come through here, so that they hear the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mosaic_deploy.gate.config import UnknownNodes
from mosaic_deploy.gate.judging import Judged
from mosaic_deploy.gate.verdict import GateTarget, Inquiry, TargetVerdict
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.environments import cache_folder
from mosaic_deploy.workers.progress import StageProgress

_SETTLED = ("supported", "supported after fixes")


@dataclass(frozen=True, slots=True)
class AskTerms:
    """How to ask, as far as a person has said."""

    unknown: UnknownNodes | None = None
    """``ask`` installs what is missing; None asks where everything is there; else nothing is asked."""
    budget: float | None = None
    """Seconds for a model and a target."""
    evidence: Path | None = None
    """Folder of what compilers said before; by default one in the user's cache folder."""
    save: Path | None = None
    """Folder for the parts that a compiler or the table refuses; by default the former go into one in that of
    the evidence, and the latter are not written."""


def inquire(
    judged: Judged, subject: GateTarget, terms: AskTerms, on_progress: StageProgress
) -> TargetVerdict:
    """The verdict once the compiler has been asked, where that is wanted and possible.

    Raises ``UsageError`` where evidence or reproducers cannot be read or written, ``ToolError`` where a
    toolchain cannot be installed.
    """
    verdict = _asked(judged, subject, terms, on_progress)
    if terms.save is None or not verdict.table:
        return verdict
    from mosaic_deploy.gate.ask.refused import save_refused

    return save_refused(judged, verdict, terms.save)


def _asked(judged: Judged, subject: GateTarget, terms: AskTerms, on_progress: StageProgress) -> TargetVerdict:
    verdict = judged.verdict
    if terms.unknown not in (None, "ask") or not verdict.table or verdict.kind in _SETTLED:
        return verdict
    from mosaic_deploy.gate.ask.ask import BUDGET_S, Asking, ask
    from mosaic_deploy.gate.ask.compiler import not_ready, toolchains

    if why := not_ready(verdict.table):
        if terms.unknown != "ask" or not toolchains(verdict.table):
            return replace(verdict, inquiry=Inquiry("", note=f"not asked: {why}"))
        for name in toolchains(verdict.table):
            require_toolchain(name, on_progress)
    evidence = terms.evidence or evidence_folder()
    asking = Asking(
        evidence,
        terms.save or evidence / "reproducers",
        BUDGET_S if terms.budget is None else terms.budget,
    )
    return ask(judged, subject, asking, on_progress)


def evidence_folder() -> Path:
    """Where what compilers said is kept by default: ``mosaic-deploy/evidence`` in the user's cache folder."""
    return cache_folder().parent / "evidence"
