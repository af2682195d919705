"""What an op table says of cases, held against what the compiler did with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.backends.oracle.case import Case, Sort
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.gate.op_support.judge import CheckReport, check
from mosaic_deploy.gate.op_support.rules import gaps
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.facts import Node, nodes
from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    from rich.table import Table

Kind = Literal["agrees", "false accept", "false reject", "unknown", "no reference"]
"""``false accept``: the table clears what the tool does not run right. ``false reject``: it refuses what the
tool runs right. ``unknown``: no rule decides. ``no reference``: ONNX Runtime does not run the case itself."""

KINDS: tuple[Kind, ...] = ("agrees", "false accept", "false reject", "unknown", "no reference")
WRONG: tuple[Kind, ...] = ("false accept", "false reject")


@dataclass(frozen=True, slots=True)
class Classified:
    """What a table says of one case against what came of it."""

    case: str
    op: str
    sort: Sort
    precision: Precision
    kind: Kind
    devices: tuple[str, ...]
    """Those that the kind holds for."""
    rules: tuple[str, ...]
    """Ids of the rules behind it: those that cleared the nodes, that refused one, or that came nearest."""
    found: str
    """What the tool did on the first of the devices, and what it said."""
    difference: float | None
    """The first device's, as a share of the reference's range; None where it is no number."""


def classify(case: Case, outcomes: Sequence[CaseOutcome], table: OpTable) -> Classified:
    """Compare, device by device: one that is not right makes the case so, false accepts before the rest."""
    described = nodes(case.model)
    heard = [outcome for outcome in outcomes if outcome.found != "no-reference"]
    if not heard:
        return _weighed(case, "no reference", outcomes, ())
    by_kind: dict[Kind, list[CaseOutcome]] = {}
    violated: dict[Kind, list[str]] = {}
    for outcome, report in zip(heard, _reports(case, described, heard, table), strict=True):
        kind = _kind(outcome, report)
        by_kind.setdefault(kind, []).append(outcome)
        violated.setdefault(kind, []).extend(v.rule for v in report.violations if v.rule)
    order: tuple[Kind, ...] = (*WRONG, "unknown", "agrees")
    kind = next(kind for kind in order if kind in by_kind)
    rules = violated[kind] or _accepting(case, described, table)
    return _weighed(case, kind, by_kind[kind], rules)


def _reports(
    case: Case, described: Sequence[Node], outcomes: Sequence[CaseOutcome], table: OpTable
) -> list[CheckReport]:
    """One check per device; one for all where it finds nothing."""
    # A case is no network: nobody folds a Cast at its input.
    whole = table.model_copy(update={"folds_input_cast": "never"})

    def judge(devices: Sequence[str]) -> CheckReport:
        return check(case.model, table=whole, precision=case.precision, devices=devices, described=described)

    together = judge([outcome.device for outcome in outcomes])
    if not together.violations or len(outcomes) == 1:
        return [together] * len(outcomes)
    return [judge([outcome.device]) for outcome in outcomes]


def _kind(outcome: CaseOutcome, report: CheckReport) -> Kind:
    runs = outcome.found == "runs"
    if not report.violations:
        return "agrees" if runs else "false accept"
    if all(violation.level == "unknown" for violation in report.violations):
        return "unknown"
    return "false reject" if runs else "agrees"


def _accepting(case: Case, described: Sequence[Node], table: OpTable) -> list[str]:
    """Ids of the rules that clear the nodes."""
    integers = table.made_of(case.precision)
    return [
        rule.id
        for node in described
        if not (node.folded and table.folds_constants)
        for rule in table.rules
        if rule.accepts
        and (rule.domain, rule.op) == (node.domain, node.op)
        and not gaps(node, rule, integers=integers)
    ]


def _weighed(case: Case, kind: Kind, outcomes: Sequence[CaseOutcome], rules: Iterable[str]) -> Classified:
    first = outcomes[0]
    return Classified(
        case=case.name,
        op=case.op,
        sort=case.sort,
        precision=case.precision,
        kind=kind,
        devices=tuple(outcome.device for outcome in outcomes),
        rules=tuple(dict.fromkeys(rules)),
        found=f"{first.found}: {first.error}" if first.error else first.found,
        difference=first.difference if isfinite(first.difference or 0.0) else None,
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a table and its compiler disagree."""

    table: str
    tool: str
    """And its version: the one that was run."""
    weighed: tuple[Classified, ...]

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Cases of each kind."""
        found = Counter(item.kind for item in self.weighed)
        return {kind: found[kind] for kind in KINDS}

    @property
    def compared(self) -> int:
        """Cases that have a reference."""
        return len(self.weighed) - self.counts["no reference"]

    def share(self, kind: Kind) -> float:
        """Share in [0, 1] of the cases that have a reference; 0 where none has."""
        return self.counts[kind] / self.compared if self.compared else 0.0

    def of(self, *kinds: Kind) -> tuple[Classified, ...]:
        """The cases of some kinds, by their names."""
        return tuple(sorted((w for w in self.weighed if w.kind in kinds), key=lambda w: w.case))

    def to_json(self) -> dict[str, object]:
        """Counts and shares, and every case that disagrees or has no rule."""
        return {
            "cases": len(self.weighed),
            "compared": self.compared,
            "counts": {_key(kind): count for kind, count in self.counts.items()},
            "shares": {_key(kind): self.share(kind) for kind in KINDS if kind != "no reference"},
            "disagreeing": [_entry(item) for item in self.of(*WRONG)],
            "unknown": [_entry(item) for item in self.of("unknown")],
        }

    def view(self) -> Table:
        """A row per operator that has something else than agreement, and one of all."""
        from rich.table import Table

        view = Table(title=f"{self.table} against {self.tool}", title_justify="left")
        view.add_column("operators")
        for heading in ("cases", *KINDS):
            view.add_column(heading, justify="right")
        by_op: dict[str, list[Classified]] = {}
        for item in self.weighed:
            by_op.setdefault("chains" if item.sort == "chain" else item.op, []).append(item)
        for op, items in sorted(by_op.items()):
            if any(item.kind != "agrees" for item in items):
                view.add_row(op, *_cells(items))
        view.add_section()
        view.add_row("all", *_cells(self.weighed))
        return view

    def row(self) -> str:
        """The Markdown row of ``markdown``."""
        counts = self.counts
        shares = (f"{counts[kind]} ({self.share(kind):.2%})" for kind in KINDS if kind != "no reference")
        cells = (self.table, self.tool, str(len(self.weighed)), *shares, str(counts["no reference"]))
        return f"| {' | '.join(cells)} |"


def markdown(agreements: Iterable[Agreement]) -> str:
    """A table in Markdown, one row per compiler; shares are of the cases that have a reference."""
    head = ("table", "tool", "cases", *KINDS)
    rule = ("---", "---", *["---:"] * (len(KINDS) + 1))
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|", *(a.row() for a in agreements)]
    return "\n".join(lines)


def _cells(items: Sequence[Classified]) -> list[str]:
    found = Counter(item.kind for item in items)
    return [str(len(items)), *(str(found[kind]) if found[kind] else "-" for kind in KINDS)]


def _key(kind: Kind) -> str:
    return kind.replace(" ", "_")


def _entry(item: Classified) -> dict[str, object]:
    return asdict(item) | {"devices": list(item.devices), "rules": list(item.rules)}
