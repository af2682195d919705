"""The op gate: every node of a model against the op table of a target's compiler."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from mosaic_deploy.gate.op_support.advice import fitting
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.rules import Finding, judge, kind
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable, Outcome
from mosaic_deploy.graph.facts import Node, nodes_with_bodies
from mosaic_deploy.graph.index import reads
from mosaic_deploy.graph.macs import macs
from mosaic_deploy.specs.precision import Precision

if TYPE_CHECKING:
    import onnx

Level = Literal["silent-wrong", "unsupported", "fallback", "unknown"]
"""The first two fail the gate. ``fallback``: another kernel computes it, as the table says it may; its share
of MACs is counted. ``unknown`` is no evidence, not a no."""

SCHEMA = 1

FAILING: tuple[Level, ...] = ("silent-wrong", "unsupported")
_LEVELS: Mapping[Outcome, Level] = {
    "wrong": "silent-wrong",
    "falls-back": "fallback",
    "fails-to-compile": "unsupported",
    "undocumented": "unknown",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One node that the table does not clear."""

    level: Level
    node: str
    op: str
    """With its domain where that is not ONNX's own."""
    rule: str
    """Id of the rule that refuses, or of the accepting rule that came nearest; empty if there is none."""
    found: str
    allowed: str
    macs_share: float
    """Of the model's multiply-accumulates in convolutions and matrix products, in [0, 1]."""
    fix: str
    error: str
    """What the tool said when it was tried, or empty."""
    source: str
    """``file:line`` of the PyTorch code behind the node, or empty."""

    def __str__(self) -> str:
        place = f" [{self.source}]" if self.source else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.level}: {self.node} ({self.op}): {self.found}{allowed}; {self.fix}{place}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What an op table says of a model."""

    table: str
    tool: str
    """The compiler and the version that the evidence was made with."""
    precision: Precision
    devices: tuple[str, ...]
    nodes: int
    """Nodes judged; those that compute constants are not."""
    macs: int
    violations: tuple[Violation, ...]
    operators: tuple[tuple[str, int], ...] = ()
    """The judged nodes' operators, with their domain where that is not ONNX's own, and how many of each."""
    max_fallback_macs: float | None = None
    """Largest share of the multiply-accumulates, in [0, 1], that may fall back; None is no limit."""

    @property
    def passed(self) -> bool:
        """Whether no node is unsupported or silently wrong, and no more falls back than may."""
        return not self.too_much_fallback and not any(found.level in FAILING for found in self.violations)

    @property
    def too_much_fallback(self) -> bool:
        """Whether more falls back than may."""
        return self.max_fallback_macs is not None and self.fallback_macs_share > self.max_fallback_macs

    @property
    def fallback_macs_share(self) -> float:
        """Share of the multiply-accumulates, in [0, 1], of nodes that fall back to another kernel."""
        return sum(v.macs_share for v in self.violations if v.level == "fallback")

    def explain(self) -> list[str]:
        """A line per kind of violation, with the number of nodes that have it; and why it did not pass."""
        kinds: dict[tuple[str, ...], list[Violation]] = defaultdict(list)
        for one in self.violations:
            kinds[one.level, one.op, one.found, one.fix, one.error].append(one)
        lines = [
            str(alike[0]) + (f" (and {len(alike) - 1} like it)" if len(alike) > 1 else "")
            for alike in kinds.values()
        ]
        if self.too_much_fallback:
            lines.append(
                f"{self.fallback_macs_share:.1%} of the multiply-accumulates fall back, "
                f"{self.max_fallback_macs:.1%} may"
            )
        return lines

    def to_json(self) -> dict[str, object]:
        """The report as one object; ``violations`` have the fields of ``Violation``."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "table": self.table,
            "tool": self.tool,
            "precision": self.precision,
            "devices": list(self.devices),
            "nodes": self.nodes,
            "macs": self.macs,
            "fallback_macs_share": self.fallback_macs_share,
            "max_fallback_macs": self.max_fallback_macs,
            "violations": [asdict(violation) for violation in self.violations],
        }


def check(
    model: onnx.ModelProto,
    *,
    table: OpTable,
    precision: Precision,
    devices: Sequence[str] = (),
    described: Sequence[Node] | None = None,
) -> CheckReport:
    """Judge every node of a model.

    Args:
        model: as ``read_model`` returned it: its shapes are inferred.
        table: of the compiler in question.
        precision: ``float`` judges the graph as it is, quantised or not; ``w8a8`` and ``w8a16`` as a recipe
            of 8-bit weights and 8- or 16-bit activations will leave it.
        devices: the table's devices that are compiled for; none named means all.
        described: what ``nodes_with_bodies`` made of the model, for a caller that judges it more than once.
    """
    by_op: dict[tuple[str, str], list[OpRule]] = defaultdict(list)
    for rule in table.rules:
        by_op[rule.domain, rule.op].append(rule)
    everywhere = by_op.pop(("", "*"), [])
    wanted = tuple(devices) or table.devices
    described = nodes_with_bodies(model) if described is None else described
    when = table.folds_input_cast
    pixels = when == "always" or (when == "quantised" and precision != "float")
    fused = _fused(described, model, table, precision)
    judged = [
        node
        for node in described
        if not (node.folded and table.folds_constants)
        and not (pixels and _casts_pixels(node, model))
        and node.name not in fused
    ]
    total = sum(macs(node) for node in judged)
    violations = []
    for node in judged:
        own = by_op.get((node.domain, node.op), [])
        rules = own if node.domain and not own else [*everywhere, *own]
        finding = judge(node, rules, integers=table.made_of(precision), devices=wanted)
        if not finding.decided or (finding.rule and not finding.rule.accepts):
            share = macs(node) / total if total else 0.0
            violations.append(_violation(node, finding, table, share))
    return CheckReport(
        table=table.name,
        tool=f"{table.tool} {table.version}",
        precision=precision,
        devices=wanted,
        nodes=len(judged),
        macs=total,
        violations=tuple(violations),
        operators=tuple(sorted(Counter(_operator(node) for node in judged).items())),
    )


def _fused(
    described: Sequence[Node], model: onnx.ModelProto, table: OpTable, precision: Precision
) -> frozenset[str]:
    """Names of the nodes that the compiler computes within the node before them."""
    if not any(node.op == fusion.op for node in described for fusion in table.fuses):
        return frozenset()
    read = Counter(name for node in model.graph.node for name in reads(node))
    read.update(value.name for value in model.graph.output)
    makers = {tensor.name: node for node in described for tensor in node.outputs if read[tensor.name] == 1}
    integers = table.made_of(precision)
    return frozenset(
        node.name
        for node in described
        if (data := node.data) is not None and (maker := makers.get(data.name)) is not None
        for fusion in table.fuses
        if (node.op, node.domain, maker.domain) == (fusion.op, "", "")
        and maker.op in fusion.after
        and kind(data, integers)
        in {*((grid, True) for grid in fusion.quantized_dtypes), *((name, False) for name in fusion.dtypes)}
        and not any(CONSTRAINTS[name].breach(node) for name in fusion.constraints)
    )


def _casts_pixels(node: Node, model: onnx.ModelProto) -> bool:
    """Whether it only turns the image's raw pixels into floats, which quantising the input undoes."""
    images = {value.name for value in model.graph.input}
    source = node.inputs[0] if node.inputs else None
    return node.op == "Cast" and source is not None and source.name in images and source.dtype == "uint8"


def _operator(node: Node) -> str:
    return f"{node.domain}.{node.op}" if node.domain else node.op


def _violation(node: Node, finding: Finding, table: OpTable, share: float) -> Violation:
    rule, refused = finding.rule, finding.decided
    tool = f"{table.tool} {table.version}"
    if rule is not None and refused:
        rank = None if node.data is None or node.data.shape is None else len(node.data.shape)
        fix, error = fitting(rule, table.rules, rank=rank), rule.evidence.error
    elif node.domain and rule is None:
        fix, error = f"write it with ONNX's own operators: {tool} has no '{node.domain}.{node.op}'", ""
    else:
        fix, error = f"untried on {tool}: build and see, or change it to what is allowed", ""
    found = [gap.found for gap in finding.gaps] or [f"operator {node.op}"]
    if rule is not None and refused and rule.evidence.devices:
        found.append(f"on {', '.join(rule.evidence.devices)}")
    return Violation(
        level=_level(node, rule, table, refused=refused),
        node=node.name,
        op=_operator(node),
        rule=rule.id if rule is not None else "",
        found="; ".join(found),
        allowed="; ".join(gap.allowed for gap in finding.gaps if gap.allowed),
        macs_share=share,
        fix=fix,
        error=error,
        source=node.source,
    )


def _level(node: Node, rule: OpRule | None, table: OpTable, *, refused: bool) -> Level:
    if rule is None:
        return "unsupported" if node.domain else "unknown"
    level = _LEVELS[rule.verdict] if refused else "unknown"
    return "unsupported" if level == "fallback" and not table.may_fall_back(node.op) else level
