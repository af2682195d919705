"""Which passes, in which order, make an op table object less to a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from mosaic_deploy.errors import ModelError
from mosaic_deploy.gate.op_support.judge import FAILING, CheckReport, Violation, check
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.passes import Change, Pass, apply
from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    import onnx

_ROUNDS = 8
_AHEAD = 2
"""How many more passes may follow one that alone makes nothing better."""

_HELD_BYTES = 256 << 20
"""Of models, that a search remembers."""

_WORTH_A_LOSS = FAILING
"""A lossy pass is no cure for what may well run, here or in another kernel."""

Score = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a model is to pass."""

    table: OpTable
    precision: Precision
    devices: tuple[str, ...]

    def judge(self, model: onnx.ModelProto) -> CheckReport:
        """Check a model against it."""
        return check(model, table=self.table, precision=self.precision, devices=self.devices)


@dataclass(frozen=True, slots=True)
class Taken:
    """A pass that was applied, and what came of it."""

    step: Pass
    changes: tuple[Change, ...]
    model: onnx.ModelProto
    report: CheckReport


def search(
    model: onnx.ModelProto, goal: Goal, passes: Sequence[Pass], report: CheckReport
) -> tuple[Taken, ...]:
    """Apply passes as long as the table objects less each time; ``report`` is of the model as it is."""
    exact = tuple(step for step in passes if step.exact)
    lossy = tuple(step for step in passes if not step.exact)
    # The shortest way first, and no loss where a longer way is exact.
    stages = [(pool, ahead) for pool in (exact, lossy) for ahead in range(_AHEAD + 1)]
    tries = _Tries(goal)
    taken: list[Taken] = []
    for _ in range(_ROUNDS):
        before = len(taken)
        for pool, ahead in stages:
            for step in pool:
                found = _attempt(model, report, _Choice(tries, exact, step), ahead=ahead)
                if found:
                    taken.extend(found)
                    model, report = found[-1].model, found[-1].report
            if len(taken) > before:
                break
        else:
            break
    return tuple(taken)


@final
class _Tries:
    """What passes made of models: a longer way begins as a shorter one that was tried before."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._known: dict[tuple[int, str, frozenset[str]], tuple[onnx.ModelProto, Taken | None]] = {}
        self._held = 0

    def apply(self, step: Pass, model: onnx.ModelProto, wanted: Collection[str]) -> Taken | None:
        """Apply a pass and judge what comes of it; None where it changes nothing, or makes nothing sound."""
        key = (id(model), step.name, frozenset(wanted))  # a model that is held keeps its id
        if key in self._known:
            return self._known[key][1]
        taken = self._judged(step, model, wanted)
        size = 0 if taken is None else taken.model.ByteSize()
        if self._held + size <= _HELD_BYTES:
            self._held += size
            self._known[key] = (model, taken)
        return taken

    def _judged(self, step: Pass, model: onnx.ModelProto, wanted: Collection[str]) -> Taken | None:
        try:
            applied = apply(step, model, wanted=wanted)
        except ModelError:  # what it made is not sound: it does not know this node after all
            return None
        if not applied.modified:
            return None
        return Taken(step, applied.changes, applied.model, self._goal.judge(applied.model))


@dataclass(frozen=True, slots=True)
class _Choice:
    tries: _Tries
    followers: tuple[Pass, ...]
    step: Pass


def _attempt(
    model: onnx.ModelProto, report: CheckReport, choice: _Choice, *, ahead: int
) -> tuple[Taken, ...]:
    """Apply one pass, and others to what it made, if that makes the report better; else nothing."""
    step = choice.step
    wanted = {v.node for v in report.violations if v.op in step.targets and _worth(step, v)}
    if not wanted:
        return ()
    one = choice.tries.apply(step, model, wanted)
    if one is None:
        return ()
    good = {name for change in one.changes if _better(change, report, one.report) for name in change.covered}
    if good and not wanted <= good:  # leave alone what it does not help
        again = choice.tries.apply(step, model, wanted & good)
        one = (
            again
            if again is not None and _score(again.report.violations) < _score(one.report.violations)
            else one
        )
    if _score(one.report.violations) < _score(report.violations):
        return (one,)
    if not ahead:
        return ()
    made = {name for change in one.changes for name in change.made}
    for follower in choice.followers:
        if follower.name == step.name or not _may_help(follower, one.report, made):
            continue
        more = _attempt(
            one.model, one.report, _Choice(choice.tries, choice.followers, follower), ahead=ahead - 1
        )
        if more and _score(more[-1].report.violations) < _score(report.violations):
            return (one, *more)
    return ()


def _worth(step: Pass, violation: Violation) -> bool:
    """Never for what runs in another kernel of the same processor; a loss only for what does not run."""
    return violation.level in _WORTH_A_LOSS or (step.exact and violation.level != "fallback")


def _may_help(step: Pass, report: CheckReport, made: Collection[str]) -> bool:
    return any(v.node in made and v.op in step.targets for v in report.violations)


def _better(change: Change, before: CheckReport, after: CheckReport) -> bool:
    old = [v for v in before.violations if v.node in change.covered]
    new = [v for v in after.violations if v.node in change.made]
    return _score(new) < _score(old)


def _score(violations: Iterable[Violation]) -> Score:
    """Count what fails the gate, what falls back and what is unknown; less is better, in this order."""
    levels = [violation.level for violation in violations]
    return (
        levels.count("silent-wrong") + levels.count("unsupported"),
        levels.count("fallback"),
        levels.count("unknown"),
    )
