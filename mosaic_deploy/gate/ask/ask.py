"""What the table does not clear is asked of the compiler: each node alone, then with its neighbours.

    open violations -> parts around each, alike ones once -> evidence, else compile and run -> a new verdict

A part is cut out of the very model, with its weights and with what a picture makes of the tensors that
reach it. The largest part that was asked decides: what fails alone may run in company, where compilers fuse,
and the reverse. A refusal by the table stands only where the compiler confirms it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.oracle.scratch import scratch_folder
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.gate.ask.compiler import Part, maker, try_parts
from mosaic_deploy.gate.ask.evidence import Evidence
from mosaic_deploy.gate.ask.reproducer import keep
from mosaic_deploy.gate.ask.structure import operators, structure
from mosaic_deploy.gate.judging import Judged
from mosaic_deploy.gate.op_support.judge import FAILING, Level
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.pictures import picture
from mosaic_deploy.gate.verdict import Cleared, GateTarget, Inquiry, Item, TargetVerdict
from mosaic_deploy.graph.facts import inputs_of, nodes, title
from mosaic_deploy.graph.intermediates import activations
from mosaic_deploy.graph.subgraph import around, cut
from mosaic_deploy.workers.progress import OnProgress, StageProgress

if TYPE_CHECKING:
    import onnx

BUDGET_S = 60.0
"""What asking about one model for one target may take, unless told otherwise."""

_ROUNDS = ((0, 1), (2, 4), (4, 8))
"""Parts around a node: edges from it, and nodes in all. The last is asked where the one before is refused."""
_SLOW = "takes longer than"
_LEVELS: dict[str, Level] = {
    "wrong": "silent-wrong",
    "falls-back": "unsupported",
    "fails-to-compile": "unsupported",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask."""

    evidence: Path
    """Folder of what is known already, and of what is found."""
    save: Path
    """Folder for the parts that were refused."""
    seconds: float = BUDGET_S


def ask(judged: Judged, subject: GateTarget, asking: Asking, on_progress: StageProgress) -> TargetVerdict:
    """Ask about what the table does not clear, and judge again by what the compiler says.

    The toolchains must be ready.

    Args:
        judged: the table's verdict, and the graph that a build would compile.
        subject: the target, with an op table whose compiler can be run here.
        asking: how.
        on_progress: progress.

    Raises ``UsageError`` where evidence or reproducers cannot be read or written.
    """
    verdict = judged.verdict
    open_ = [item.violation.node for item in verdict.items if _is_open(item)]
    if not open_:
        return verdict
    assert subject.table is not None

    def told(share: float, note: str) -> None:
        on_progress(f"ask {subject.name}", share, note)

    begun = time.monotonic()
    inquirer = Inquirer(judged, subject.table, asking, told)
    note = inquirer.run(open_)
    items: list[Item] = []
    cleared: list[Cleared] = []
    for item in verdict.items:
        found = item.violation
        answer = inquirer.answer(found.node) if _is_open(item) else None
        if answer is None:
            items.append(item)
        elif answer.good:
            difference = answer.outcome.difference
            cleared.append(Cleared((found.node,), found.op, found.level, answer.ops, difference))
        else:
            items.append(_judged_anew(item, answer, inquirer.tool))
    inquiry = Inquiry(
        inquirer.tool,
        note,
        inquirer.tried,
        inquirer.recalled,
        round(time.monotonic() - begun, 1),
        _alike(cleared),
    )
    told(1.0, "")
    return replace(verdict, items=tuple(items), inquiry=inquiry)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the compiler said of the largest part around a node that it was asked about."""

    outcome: CaseOutcome
    ops: tuple[str, ...]
    good: bool
    reproducer: str = ""


@dataclass(slots=True)
class _Heard:
    """What was heard of the parts around one node, the smallest first."""

    parts: list[tuple[frozenset[int], onnx.ModelProto, CaseOutcome]] = field(default_factory=list)


@final
class Inquirer:
    """Questions about nodes of one model to one compiler."""

    def __init__(self, judged: Judged, table: OpTable, asking: Asking, on_progress: OnProgress) -> None:
        """Begin; raises ``UsageError`` where the evidence cannot be read."""
        self.tried = self.recalled = 0
        self.tool = f"{table.tool} {load_compiler(table.name).version()}"
        self._model, self._table, self._asking = judged.model, table, asking
        self._precision, self._devices = judged.verdict.precision, judged.verdict.devices
        self._described = nodes(self._model)
        self._places = {title(node): i for i, node in enumerate(self._model.graph.node)}
        self._evidence = Evidence(asking.evidence, table.name)
        self._heard: dict[str, _Heard] = {}
        self._cut: dict[frozenset[int], tuple[str, onnx.ModelProto] | None] = {}
        self._values: dict[str, NDArray[Any]] = {t.name: picture(t) for t in inputs_of(self._model)}
        self._until = time.monotonic() + asking.seconds
        self._on_progress = on_progress

    def run(self, names: Sequence[str]) -> str:
        """Ask about these nodes; tells what kept it from asking all, or nothing."""
        self._heard = {name: _Heard() for name in names if name in self._places}
        note = "" if len(self._heard) == len(set(names)) else "nodes in bodies of If and Loop were not asked"
        try:
            with scratch_folder("mosaic-ask-") as scratch:
                for number, (hops, most) in enumerate(_ROUNDS):
                    if not self._round(hops, most, number, scratch):
                        note = f"the budget of {self._asking.seconds:g} s is used up; --budget allows more"
                        break
        except (ToolError, ModelError) as err:
            note = f"asking ended early: {err}"
        self._evidence.write()
        return note

    def answer(self, name: str) -> Answer | None:
        """What was heard of a node; None where nothing was."""
        heard = self._heard.get(name)
        if heard is None or not heard.parts:
            return None
        _, part, outcome = heard.parts[-1]
        if not self._refuses(outcome):
            return Answer(outcome, operators(part), outcome.found == "runs")
        smallest = next(part for _, part, outcome in heard.parts if self._refuses(outcome))
        digest = structure(smallest)
        place = keep(smallest, self._asking.save, f"{self._table.name}-{digest[:12]}")
        return Answer(outcome, operators(part), good=False, reproducer=place)

    def _round(self, hops: int, most: int, number: int, scratch: Path) -> bool:
        """Ask about one size of parts; tells whether there was time for all."""
        wanted: dict[str, list[tuple[str, frozenset[int]]]] = {}
        for name, heard in self._heard.items():
            if number == len(_ROUNDS) - 1 and not (heard.parts and self._refuses(heard.parts[-1][2])):
                continue
            places = self._around(self._places[name], hops, most)
            if heard.parts and heard.parts[-1][0] == places:
                continue
            part = self._part(places)
            if part is not None:
                wanted.setdefault(part[0], []).append((name, places))
        asked = {digest: self._cut[of[0][1]] for digest, of in wanted.items()}
        fresh: list[Part] = []
        for digest, held in asked.items():
            known = self._evidence.find((maker(self._table.name), self._precision, digest))
            if known is not None:
                self.recalled += 1
                self._note(wanted[digest], known)
            elif held is not None:
                fresh.append(Part(digest, held[1], self._precision))
        return self._try(fresh, wanted, scratch / str(number)) if fresh else True

    def _try(
        self, parts: Sequence[Part], wanted: dict[str, list[tuple[str, frozenset[int]]]], scratch: Path
    ) -> bool:
        lacking = {t.name for part in parts for t in inputs_of(part.model)} - self._values.keys()
        self._on_progress(0.0, f"running the model for what reaches {len(parts)} parts")
        values = {**self._values, **activations(self._model, self._values, sorted(lacking), scratch)}
        done = 0

        def heard(case: Case, outcomes: tuple[CaseOutcome, ...]) -> None:
            nonlocal done
            done += 1
            ops = operators(case.model)
            if not any(o.error.startswith(_SLOW) for o in outcomes):
                self.tried += 1
                key = (maker(self._table.name), self._precision, case.name)
                self._evidence.add(key, tool=self.tool, ops=ops, outcomes=outcomes)
                self._note(wanted[case.name], outcomes)
            self._on_progress(done / len(parts), f"{done} of {len(parts)}: {'+'.join(ops[:4])}")

        return try_parts(
            self._table.name,
            [part.case(values) for part in parts],
            jobs=len(os.sched_getaffinity(0)),
            until=self._until,
            heard=heard,
        )

    def _note(self, nodes_: Sequence[tuple[str, frozenset[int]]], outcomes: Sequence[CaseOutcome]) -> None:
        named = [o for o in outcomes if not self._devices or o.device in self._devices] or list(outcomes)
        worst = max(named, key=lambda o: (self._refuses(o), o.found == "falls-back", o.difference or 0.0))
        if worst.found == "no-reference":
            return
        for name, places in nodes_:
            held = self._cut[places]
            if held is not None:
                self._heard[name].parts.append((places, held[1], worst))

    def _around(self, place: int, hops: int, most: int) -> frozenset[int]:
        near = around(self._model, place, hops=hops, most=most) if hops else frozenset({place})
        return frozenset(i for i in near if not self._described[i].folded)

    def _part(self, places: frozenset[int]) -> tuple[str, onnx.ModelProto] | None:
        if places not in self._cut:
            try:
                part = cut(self._model, places, self._described)
                self._cut[places] = (structure(part), part) if inputs_of(part) and part.graph.output else None
            except ModelError:  # a shape that only running tells
                self._cut[places] = None
        return self._cut[places]

    def _refuses(self, outcome: CaseOutcome) -> bool:
        if outcome.found == "falls-back":
            return self._table.fallback is not True
        return outcome.found in ("wrong", "fails-to-compile")


def _is_open(item: Item) -> bool:
    """Whether asking may change anything: what is refused or unknown, and what no pass or waiver settles."""
    return item.waiver is None and ((item.refused and not item.cured) or item.undecided)


def _judged_anew(item: Item, answer: Answer, tool: str) -> Item:
    """The violation as the compiler, which does not clear it, sees it."""
    found, outcome = item.violation, answer.outcome
    said = outcome.error or outcome.found
    if outcome.found == "falls-back" and not answer.reproducer:
        return replace(
            item, violation=replace(found, level="fallback", rule="asked", error=said), basis="asked"
        )
    company = f" (with its neighbours: {', '.join(answer.ops)})" if len(answer.ops) > 1 else ""
    known = found.level in FAILING
    return replace(
        item,
        basis="asked",
        reproducer=answer.reproducer,
        violation=replace(
            found,
            level=_LEVELS[outcome.found],
            rule=found.rule if known else "asked",
            error=f"{said}{company}",
            allowed=found.allowed if known else "",
            fix=found.fix if known else f"compute it with other operators: {tool} was asked about this one",
        ),
    )


def _alike(cleared: Sequence[Cleared]) -> tuple[Cleared, ...]:
    """One entry for nodes that differ in nothing else."""
    merged: dict[tuple[object, ...], Cleared] = {}
    for one in cleared:
        key = (one.op, one.level, one.part, one.difference)
        before = merged.get(key)
        merged[key] = replace(one, nodes=(*before.nodes, *one.nodes)) if before else one
    return tuple(merged.values())
