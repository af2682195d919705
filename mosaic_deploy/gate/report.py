"""What the gate says of several models, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.gate.config import Waiver
from mosaic_deploy.gate.verdict import Item, TargetVerdict

if TYPE_CHECKING:
    from mosaic_deploy.gate.fix_report import FixReport

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was done to a model for one target."""

    target: str
    report: FixReport


@dataclass(frozen=True, slots=True)
class Reproducer:
    """The smallest part of a model that a compiler refuses."""

    file: str
    """Its ``.onnx``."""
    nodes: tuple[str, ...]
    """The model's nodes that it stands for."""
    ops: tuple[str, ...]
    error: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a target's own compiler said of a model."""

    target: str
    tool: str
    """With the version that was asked; empty where none can be."""
    said: Literal["compiles", "differs", "refused", "no compiler"]
    """``differs``: it compiles and runs, with other numbers than it may."""
    note: str = ""
    culprits: tuple[Reproducer, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A model and its verdicts, or why it has none."""

    model: str
    """Its path from the repository's top, or the whole path of what lies outside."""
    verdicts: tuple[TargetVerdict, ...]
    error: str = ""
    """Why the file cannot be used, in one line."""
    fixed: tuple[Fixed, ...] = ()
    """What was done to it before it was judged, if that was asked for."""
    verified: tuple[Verified, ...] = ()
    """What compilers said of it, if they were asked."""
    untrained: bool = False
    """Whether the file says that its weights are random; its operators are those of a trained one."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """The whole answer."""

    models: tuple[ModelResult, ...]
    config: str = ""
    """Path of the ``mosaic-deploy.toml`` in force, or empty."""
    expired: tuple[Waiver, ...] = ()
    """Waivers whose day has passed, whether they cover anything or not."""
    idle: tuple[Waiver, ...] = ()
    """Waivers in force that covered nothing in these models."""
    base: str = ""
    """What the models were compared with, or empty."""

    @property
    def passed(self) -> bool:
        """Whether every model passed on every target, and no waiver has expired."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """1 where the gate or a compiler says no; else 2 where something cannot be judged; else 0."""
        verdicts = [verdict for _, verdict in self.verdicts()]
        heard = [verified.said for judged in self.models for verified in judged.verified]
        if (
            self.expired
            or any(v.table and not v.passed for v in verdicts)
            or {"refused", "differs"} & {*heard}
        ):
            return 1
        judged = all(v.table for v in verdicts) and "no compiler" not in heard
        return 2 if any(judged.error for judged in self.models) or not judged else 0

    def verdicts(self) -> Iterator[tuple[ModelResult, TargetVerdict]]:
        """Every verdict with its model."""
        for judged in self.models:
            for verdict in judged.verdicts:
                yield judged, verdict

    def to_json(self) -> dict[str, object]:
        """The report as one object, as docs/reference/check-report.md describes it."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "exit_code": self.exit_code,
            "config": self.config or None,
            "base": self.base or None,
            "models": [
                {
                    "model": judged.model,
                    "untrained": judged.untrained,
                    "verdicts": [_verdict(verdict) for verdict in judged.verdicts],
                    "fixed": [_fixed(one) for one in judged.fixed],
                    "verified": [asdict(one) for one in judged.verified],
                }
                for judged in self.models
                if not judged.error
            ],
            "failures": [{"model": j.model, "error": j.error} for j in self.models if j.error],
            "expired_waivers": [_waiver(waiver) for waiver in self.expired],
            "idle_waivers": [_waiver(waiver) for waiver in self.idle],
        }


def _fixed(fixed: Fixed) -> dict[str, object]:
    report = fixed.report
    return {
        "target": fixed.target,
        "exact": report.exact,
        "steps": [{**asdict(step), "changes": step.changes} for step in report.steps],
        "withdrawn": list(report.withdrawn),
    }


def _verdict(verdict: TargetVerdict) -> dict[str, object]:
    return {
        "target": verdict.target,
        "recipe": verdict.recipe,
        "verdict": verdict.kind,
        "passed": verdict.passed,
        "table": verdict.table or None,
        "tool": verdict.tool or None,
        "precision": verdict.precision if verdict.table else None,
        "devices": list(verdict.devices),
        "nodes": verdict.nodes,
        "macs": verdict.macs,
        "operators": dict(verdict.operators),
        "fallback_macs_share": verdict.fallback_macs_share,
        "max_fallback_macs": verdict.max_fallback_macs,
        "unknown": verdict.unknown,
        "violations": [_item(item) for item in verdict.items],
        "asked": asdict(verdict.inquiry) if verdict.inquiry else None,
    }


def _item(item: Item) -> dict[str, object]:
    return {
        **asdict(item.violation),
        "fails": item.fails,
        "deployed": item.deployed,
        "fixable": item.cure is not None,
        "cure": asdict(item.cure) if item.cure else None,
        "basis": item.basis,
        "reproducer": item.reproducer or None,
        "known": item.known,
        "waiver": _waiver(item.waiver) if item.waiver else None,
    }


def _waiver(waiver: Waiver) -> dict[str, object]:
    return waiver.model_dump(mode="json")
