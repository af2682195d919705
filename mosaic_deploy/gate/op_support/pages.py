"""What a target takes, in words: its op table and constraints as text, or as a page of the documentation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill

from mosaic_deploy.errors import SpecError
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.rules import describe
from mosaic_deploy.gate.op_support.tables import Fusion, OpRule, OpTable
from mosaic_deploy.specs.registry import load_spec, nearest, spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec

_EVERY = "every operator"
_WIDTH = 100
_VERDICTS = {
    "runs": "runs",
    "wrong": "runs with a wrong result",
    "falls-back": "falls back",
    "fails-to-compile": "fails to compile",
    "undocumented": "not documented",
}


def overview(*, markdown: bool) -> str:
    """List every target with its table and what that table knows."""
    rows = [("target", "recipes", "op table", "operators", "what it is")]
    for name in spec_names(TargetSpec):
        target = load_spec(TargetSpec, name)
        table = load_table(target.ops) if target.ops else None
        count = str(len(table.ops)) if table else "-"
        rows.append((name, ", ".join(target.recipes), target.ops or "none yet", count, target.summary))
    if markdown:
        return "\n".join(_table(rows))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]) for row in rows
    )


def describe_target(name: str, *, markdown: bool, ops: Sequence[str] = ()) -> str:
    """Describe one target: a summary of what its table says, or every rule of some operators.

    Args:
        name: the target's.
        markdown: the whole table as a page instead.
        ops: operators, whose rules are given.

    Raises:
        SpecError: there is no such target, or its table knows no such operator, with the nearest.
    """
    target = load_spec(TargetSpec, name)
    if target.ops is None:
        return f"{target.name}: {target.summary}\nno op table yet: build a model and see"
    table = load_table(target.ops)
    if markdown:
        return page(table)
    head = [
        f"{target.name}: {target.summary}",
        f"op table {table.name}, evidence of {table.tool} {table.version}",
    ]
    return "\n".join([*head, *(_rules_of(table, ops) if ops else _summary(table, target.name))])


def page(table: OpTable) -> str:
    """A table as a page of the documentation."""
    head = [
        f"<!-- Written by docs/generate_op_tables.py from targets/ops/{table.name}.toml: change that. -->",
        "",
        f"# {table.name}",
        "",
        f"{table.summary}. The evidence is of {table.tool} {table.version}.",
        "",
        *_facts(table),
        "",
        "## Operators",
        "",
        "`found` is what the tool did; an attribute that is not named has the operator's default. A node",
        "that no row covers is `unknown`. [How the check decides](../../how-to/check.md).",
        "",
    ]
    rows = [("operator", "found", "types", "ranks", "attributes and constraints", "cases", "instead")]
    rows += [_row(rule) for rule in _sorted(table.rules)]
    used = table.constraint_names
    sentences = [("constraint", "meaning"), *((f"`{name}`", CONSTRAINTS[name].sentence) for name in used)]
    tail = ["", "## Constraints", "", *_table(sentences)] if used else []
    return "\n".join([*head, *_table(rows), *tail]) + "\n"


def pages(folder: Path) -> dict[Path, str]:
    """Every page about op tables, and the list of them, by the path it belongs at.

    ``docs/generate_op_tables.py`` writes them; a test compares them with what is there.
    """
    names = sorted(path.stem for path in (spec_root() / "targets" / "ops").glob("*.toml"))
    tables = {name: load_table(name) for name in names}
    users: dict[str, list[str]] = defaultdict(list)
    for name in spec_names(TargetSpec):
        users[load_spec(TargetSpec, name).ops or ""].append(name)
    rows = [("table", "targets", "evidence of", "operators", "rules")]
    for name, table in tables.items():
        tool = f"{table.tool} {table.version}"
        link = f"[{name}]({name}.md)"
        rows.append((link, ", ".join(users[name]) or "-", tool, str(len(table.ops)), str(len(table.rules))))
    index = [
        "<!-- Written by docs/generate_op_tables.py. -->",
        "",
        "# Op tables",
        "",
        "What each compiler does with ONNX operators, as `mosaic-deploy targets NAME --markdown` prints it.",
        "",
        *(
            row if i < 2 else row.replace("&#91;", "[").replace("&#93;", "]")
            for i, row in enumerate(_table(rows))
        ),
        "",
        f"Targets without a table yet: {', '.join(users[''])}." if users[""] else "Every target has a table.",
    ]
    made = {folder / f"{name}.md": page(table) for name, table in tables.items()}
    return {folder / "index.md": "\n".join(index) + "\n", **made}


def _facts(table: OpTable) -> Iterator[str]:
    yield f"- devices: {', '.join(table.devices)}"
    if isinstance(table.fallback, bool):
        yield "- a refused node " + ("runs on another processor" if table.fallback else "cannot run at all")
    else:
        yield f"- a refused node cannot run at all, but {', '.join(table.fallback)} may on another processor"
    yield f"- quantised, tensors are {table.integers.w8a8} at w8a8 and {table.integers.w8a16} at w8a16"
    if table.folds_constants:
        yield "- nodes that compute constants are gone before the compiler looks"
    if table.folds_input_cast != "never":
        when = " when the network is quantised" if table.folds_input_cast == "quantised" else ""
        yield f"- a Cast from uint8 pixels at the input disappears{when}"
    for fusion in table.fuses:
        yield (
            f"- {_kinds(fusion)}, {fusion.op} is computed within "
            f"{', '.join(fusion.after)} before it, if nothing else reads those"
            + "".join(f", where {name}" for name in fusion.constraints)
        )


def _summary(table: OpTable, name: str) -> Iterator[str]:
    for fact in _facts(table):
        yield fill(fact, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    outcomes: dict[str, set[bool]] = defaultdict(set)
    for rule in table.rules:
        outcomes[_operator(rule)].add(rule.accepts)
    everywhere = outcomes.pop(_EVERY, set())
    kinds = (("runs", {True}), ("runs in some forms", {True, False}), ("does not run", {False}))
    for words, wanted in kinds:
        ops = sorted((op for op, found in outcomes.items() if found == wanted), key=str.casefold)
        if ops:
            yield f"{words}, {len(ops)} operators:"
            yield fill(", ".join(ops), _WIDTH, initial_indent="  ", subsequent_indent="  ")
    if everywhere:
        yield f"rules of every operator as well: mosaic-deploy targets {name} --op '*'"
    yield f"the forms, and what to do instead: mosaic-deploy targets {name} --op {_example(outcomes)}"


def _example(outcomes: Mapping[str, object]) -> str:
    return "Resize" if "Resize" in outcomes else next(iter(outcomes), "Conv")


def _rules_of(table: OpTable, ops: Sequence[str]) -> Iterator[str]:
    known = {_operator(rule): rule for rule in table.rules}
    named = {op.casefold(): op for op in (*known, "*")}
    wanted = []
    for op in ops:
        if op.casefold() not in named:
            raise SpecError(f"op table {table.name}: nothing is known of '{op}'{nearest(op, tuple(known))}")
        found = named[op.casefold()]
        wanted.append(_EVERY if found == "*" else found)
    chosen = [rule for rule in table.rules if _operator(rule) in wanted]
    for rule in _sorted(chosen):
        _, found, types, ranks, limits, _, instead = _row(rule)
        parts = [
            found,
            types,
            f"ranks {ranks}" if ranks else "",
            limits,
            f"instead: {instead}" if instead else "",
        ]
        yield f"{_operator(rule):<24} {'; '.join(part for part in parts if part)}"
    used = {constraint for rule in chosen for constraint in (*rule.constraints, *rule.breaks)}
    for name in table.constraint_names:
        if name in used:
            yield f"{name}: {CONSTRAINTS[name].sentence}"


def _sorted(rules: Sequence[OpRule]) -> list[OpRule]:
    """By operator, what runs first; rules for every operator before all."""
    return sorted(rules, key=lambda rule: (rule.op != "*", _operator(rule), not rule.accepts))


def _operator(rule: OpRule) -> str:
    name = f"{rule.domain}.{rule.op}" if rule.domain else rule.op
    return _EVERY if name == "*" else name


def _row(rule: OpRule) -> tuple[str, str, str, str, str, str, str]:
    types = [*rule.dtypes, *(f"quantised {grid}" for grid in rule.quantized_dtypes)]
    limits = [f"{name} {describe(limit)}" for name, limit in rule.attributes.items()]
    limits += list(rule.constraints) + [f"not {name}" for name in rule.breaks]
    if rule.weights:
        limits.append(f"parameters of {' or '.join(rule.weights)}")
    found = _VERDICTS[rule.verdict]
    if rule.evidence.devices:
        found += f" on {', '.join(rule.evidence.devices)}"
    cases = str(rule.evidence.cases) if rule.evidence.cases else "documented"
    ranks = ", ".join(str(rank) for rank in rule.ranks)
    return _operator(rule), found, ", ".join(types), ranks, "; ".join(limits), cases, rule.fix


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *rest]


def _cell(text: str) -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")
    return plain.replace("[", "&#91;").replace("]", "&#93;")


def _kinds(fusion: Fusion) -> str:
    return " or ".join([*fusion.dtypes, *(f"quantised {grid}" for grid in fusion.quantized_dtypes)])
