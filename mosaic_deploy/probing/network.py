"""What a compiler says of a network's parts: every window of one to four connected nodes, tried and counted.

    windows, alike ones once -> evidence, else compile and run -> a table, and where the op table errs

The machinery is that of asking (``gate.ask``), and so is the evidence: what was probed need not be asked.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.oracle.scratch import scratch_folder
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.gate.ask.compiler import Part, maker, toolchains, try_parts
from mosaic_deploy.gate.ask.evidence import Evidence
from mosaic_deploy.gate.ask.inquiry import evidence_folder
from mosaic_deploy.gate.ask.reproducer import keep
from mosaic_deploy.gate.ask.structure import operators, structure
from mosaic_deploy.gate.judging import find_subject, judge_model
from mosaic_deploy.gate.pictures import picture
from mosaic_deploy.gate.verdict import GatePolicy
from mosaic_deploy.graph.ends.ends import read_deployed
from mosaic_deploy.graph.facts import inputs_of, nodes, title
from mosaic_deploy.graph.index import reads
from mosaic_deploy.graph.intermediates import activations
from mosaic_deploy.graph.subgraph import cut
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import OnProgress

if TYPE_CHECKING:
    import onnx
    from rich.table import Table

MOST_NODES = 4
BUDGET_S = 600.0
_Told = Callable[[Case, tuple[CaseOutcome, ...]], None]
_SLOW = "takes longer than"
Word = Literal["runs", "falls back", "wrong", "refused", "no reference"]
_WORDS: dict[str, Word] = {
    "no-reference": "no reference",
    "runs": "runs",
    "falls-back": "falls back",
    "wrong": "wrong",
    "fails-to-compile": "refused",
}


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """What to probe."""

    model: Path
    target: str
    budget: float = BUDGET_S
    """Seconds for trying; what is under way when they are over is finished."""
    evidence: Path | None = None
    """Folder of what compilers said before; by default the user's."""
    save: Path | None = None
    """Folder for the windows that are wrong or refused; by default one in that of the evidence."""
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Connected nodes of a network, and all others that are alike."""

    digest: str
    part: onnx.ModelProto
    size: int
    """Nodes, but for those that compute constants."""
    nodes: tuple[str, ...]
    """Of the first such window."""
    cleared: bool
    """Whether it is one node, and the op table clears it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A window's outcome, the worst of all devices."""

    window: Window
    word: Word
    error: str
    difference: float | None
    contradicts: bool
    """Whether the op table clears it all the same."""
    reproducer: str = ""

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "nodes": list(self.window.nodes), "ops": list(operators(self.window.part)), "found": self.word,
            "error": self.error, "difference": self.difference, "contradicts": self.contradicts,
            "reproducer": self.reproducer,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What came of a network's windows."""

    target: str
    table: str
    tool: str
    windows: int
    """Different ones."""
    tried: int
    recalled: int
    counts: dict[Word, dict[int, int]]
    """Outcome -> nodes in a window -> windows."""
    bad: tuple[Tried, ...]
    """Wrong or refused, or what contradicts the table; the smallest first."""

    @property
    def exit_code(self) -> int:
        """1 where a node that the op table clears is wrong or refused, else 0."""
        return int(any(one.contradicts for one in self.bad))

    def to_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "target": self.target, "table": self.table, "tool": self.tool, "windows": self.windows,
            "tried": self.tried, "recalled": self.recalled, "passed": not self.exit_code,
            "counts": {word: {str(n): k for n, k in of.items()} for word, of in self.counts.items()},
            "refused": [one.to_dict() for one in self.bad],
        }  # fmt: skip

    def view(self) -> Table:
        """For a person."""
        from rich.table import Table

        sizes = range(1, MOST_NODES + 1)
        shown = Table("windows", *(f"{n} node{'s' * (n > 1)}" for n in sizes), title=self.tool)
        for word, of in self.counts.items():
            shown.add_row(word, *(str(of.get(n, 0)) for n in sizes))
        return shown

    def explain(self) -> tuple[str, ...]:
        """Lines for a person: each window that is wrong or refused, and what the budget left."""
        lines = [
            f"{one.word}: {'+'.join(operators(one.window.part))} ({', '.join(one.window.nodes)}):"
            f" {one.error or one.difference}{'; the op table clears it' * one.contradicts}; {one.reproducer}"
            for one in self.bad
        ]
        done = self.tried + self.recalled
        lines.append(f"{self.windows} different windows: {self.tried} tried, {self.recalled} recalled")
        if done < self.windows:
            lines.append(f"{self.windows - done} were not tried or took too long; --budget allows more")
        return tuple(lines)


def connected(near: list[set[int]], most: int) -> Iterator[frozenset[int]]:
    """Every connected set of 1 to ``most`` places, each once, the smaller ones first.

    Args:
        near: each place's neighbours.
        most: largest set.
    """
    level = {frozenset({i}) for i in range(len(near))}
    for size in range(1, most + 1):
        yield from sorted(level, key=sorted)
        if size < most:
            level = {held | {j} for held in level for i in held for j in near[i] if j not in held}


@dataclass(slots=True)
class _Heard:
    """What came of windows so far."""

    outcomes: dict[str, tuple[CaseOutcome, ...]] = field(default_factory=dict)
    tried: int = 0


def probe_network(request: NetworkRequest, on_progress: OnProgress) -> NetworkReport:
    """Try a network's windows on a target's compiler, and keep what it said.

    Raises:
        UsageError: an unknown target, one whose compiler cannot be run, evidence that cannot be read.
        ModelError: the network cannot be read or run.
        ToolError: a toolchain cannot be installed, or a child failed in a way that says nothing of a window.
    """
    subject = find_subject(request.target)
    table = subject.table
    if table is None or not toolchains(table.name):
        raise UsageError(f"target {request.target}: its compiler cannot be run here, so nothing is probed")
    model = read_deployed(request.model)
    terms = GatePolicy(today=datetime.now(UTC).date())
    (judged,) = judge_model(model, [subject], path="", terms=terms)
    for name in toolchains(table.name):
        require_toolchain(name, lambda _stage, share, note: on_progress(share, note))
    windows = windows_of(model, {item.violation.node for item in judged.verdict.items})
    folder = request.evidence or evidence_folder()
    evidence, precision = Evidence(folder, table.name), judged.verdict.precision
    tool = f"{table.tool} {load_compiler(table.name).version()}"
    heard = _Heard()
    for window in windows:
        known = evidence.find((maker(table.name), precision, window.digest))
        if known is not None:
            heard.outcomes[window.digest] = known
    recalled = len(heard.outcomes)
    fresh = [Part(w.digest, w.part, precision) for w in windows if w.digest not in heard.outcomes]

    def told(case: Case, outcomes: tuple[CaseOutcome, ...]) -> None:
        ops = operators(case.model)
        if not any(o.error.startswith(_SLOW) for o in outcomes):
            heard.tried += 1
            heard.outcomes[case.name] = outcomes
            key = (maker(table.name), precision, case.name)
            evidence.add(key, tool=tool, ops=ops, outcomes=outcomes)
        on_progress(len(heard.outcomes) / len(windows), "+".join(ops))

    try:
        _try(model, fresh, table.name, request, told)
    finally:
        evidence.write()
    save = request.save or folder / "reproducers"
    counts: dict[Word, Counter[int]] = {word: Counter() for word in get_args(Word)}
    bad = []
    for window in windows:
        if window.digest not in heard.outcomes:
            continue
        devices = [
            o for o in heard.outcomes[window.digest] if not subject.devices or o.device in subject.devices
        ]
        said = devices or list(heard.outcomes[window.digest])
        worst = max(said, key=lambda o: list(_WORDS).index(o.found))
        word = _WORDS[worst.found]
        counts[word][window.size] += 1
        refuses = word in ("wrong", "refused") or (word == "falls back" and table.fallback is not True)
        if refuses:
            place = keep(window.part, save, f"{table.name}-{window.digest[:12]}")
            bad.append(Tried(window, word, worst.error, worst.difference, window.cleared, place))
    bad.sort(key=lambda one: one.window.size)
    return NetworkReport(
        request.target, table.name, tool, len(windows), heard.tried, recalled,
        {word: dict(of) for word, of in counts.items()}, tuple(bad),
    )  # fmt: skip


def windows_of(model: onnx.ModelProto, doubtful: set[str]) -> tuple[Window, ...]:
    """Cut every window out of a model, alike ones once, the smaller ones first.

    Args:
        model: as ``read_deployed`` returned it.
        doubtful: titles of the nodes that the op table does not clear.
    """
    described = nodes(model)
    live = [i for i, node in enumerate(described) if not node.folded]
    makers = {name: n for n, i in enumerate(live) for name in model.graph.node[i].output if name}
    near: list[set[int]] = [set() for _ in live]
    for n, i in enumerate(live):
        for name in reads(model.graph.node[i]):
            if name in makers and makers[name] != n:
                near[n].add(makers[name])
                near[makers[name]].add(n)
    found: dict[str, Window] = {}
    for held in connected(near, MOST_NODES):
        places = [live[n] for n in sorted(held)]
        try:
            part = cut(model, places, described)
        except ModelError:  # a shape that only running tells
            continue
        if not inputs_of(part) or not part.graph.output:
            continue
        names = tuple(title(model.graph.node[i]) for i in places)
        digest = structure(part)
        if digest not in found:
            cleared = len(names) == 1 and names[0] not in doubtful
            found[digest] = Window(digest, part, len(names), names, cleared)
    return tuple(found.values())


def _try(model: onnx.ModelProto, parts: list[Part], table: str, request: NetworkRequest, told: _Told) -> None:
    """Try parts, some at a time, so that few tensors are held at once, until the budget is used up."""
    jobs = request.jobs or len(os.sched_getaffinity(0))
    until = time.monotonic() + request.budget
    given: dict[str, NDArray[Any]] = {t.name: picture(t) for t in inputs_of(model)}
    for begin in range(0, len(parts), 20 * jobs):
        if time.monotonic() > until:
            return
        some = parts[begin : begin + 20 * jobs]
        lacking = {t.name for part in some for t in inputs_of(part.model)} - given.keys()
        with scratch_folder("mosaic-probe-") as scratch:
            values = {**given, **activations(model, given, sorted(lacking), scratch)}
        try_parts(table, [p.case(values) for p in some], jobs=jobs, until=until, heard=told)
