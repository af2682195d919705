"""An op table as the text of its file: rules by operator, and what they share said once."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from mosaic_deploy.gate.op_support.advice import advice
from mosaic_deploy.gate.op_support.rule_ids import form_of
from mosaic_deploy.gate.op_support.table_file import OF_REFUSALS, OF_RUNS
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable

_DEFAULTS: Mapping[str, object] = {**{key: [] for key in OF_RUNS}, **dict.fromkeys(OF_REFUSALS, "")}
"""What a rule has of the keys that its operator may say for it, where nobody says it."""


def table_text(table: OpTable, *, before: str) -> str:
    """Write a table as TOML: operators in alphabetical order, the rules for every operator first.

    Args:
        table: what to write; what has its default value, or follows from the rest, is left out.
        before: the file as it was, whose leading comment is kept; may be empty.
    """
    comment = []
    for line in before.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    fields = table.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"rules"})
    fusions = ["\n".join(["[[fusion]]", *_entries(fusion)]) for fusion in fields.pop("fusion", ())]
    head = [*comment, *_entries(fields)]
    used: set[str] = set()
    ordered = in_order(table.rules)
    running = tuple(rule for rule in ordered if rule.accepts)
    operators = [
        _operator(title, [_line(rule, running, used) for rule in rules])
        for title, rules in groupby(ordered, key=_title)
    ]
    return "\n\n".join(["\n".join(head), *fusions, *operators]) + "\n"


def in_order(rules: tuple[OpRule, ...]) -> tuple[OpRule, ...]:
    """Sort rules as a table's file has them; those of one operator stay in their order."""
    return tuple(sorted(rules, key=lambda rule: (rule.op != "*", rule.op, rule.domain)))


def _title(rule: OpRule) -> str:
    return f"{rule.domain}.{rule.op}" if rule.domain else rule.op


def _operator(title: str, lines: Sequence[dict[str, Any]]) -> str:
    """One operator's part of the file."""
    shared = {
        **_shared([line for line in lines if line["verdict"] == "runs"], OF_RUNS),
        **_shared([line for line in lines if line["verdict"] != "runs"], OF_REFUSALS),
    }
    told = [_value({name: value for name, value in line.items() if value is not None}) for line in lines]
    body = ["rules = [", *(f"  {line}," for line in told), "]"] if told[1:] else [f"rules = [{told[0]}]"]
    return "\n".join([f"[ops.{_key(title)}]", *_entries(shared), *body])


def _line(rule: OpRule, running: Sequence[OpRule], used: set[str]) -> dict[str, Any]:
    """A rule's entries in the order of its line; those that its operator may say for it are all there.

    ``running`` are the table's rules that run, ``used`` the ids before it, to which its own is added.
    """
    form = form_of(rule.id, op=rule.op, verdict=rule.verdict, used=used)
    used.add(rule.id)
    fields = rule.model_dump(mode="json", exclude_defaults=True, exclude={"id", "op", "domain"})
    evidence = fields.pop("evidence")
    if not rule.accepts and advice(rule, running) == rule.fix:
        del fields["fix"]
    if "attributes" in fields:
        fields["attributes"] = {name: _limit(limit) for name, limit in fields["attributes"].items()}
    said = {**fields, **evidence}
    name = {"id": rule.id} if form is None else {"form": form} if form else {}
    line = {**name, "verdict": rule.verdict, "cases": rule.evidence.cases}
    line.update((key, said.get(key, _DEFAULTS[key])) for key in (OF_RUNS if rule.accepts else OF_REFUSALS))
    return {**line, **{key: value for key, value in said.items() if key not in line}}


def _shared(lines: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """What most lines say of some keys, where it is several; it is taken out of them, as are defaults."""
    found = {}
    for name in names:
        values = Counter(_value(line[name]) for line in lines)
        most = max(values, key=lambda text: values[text], default="")
        common = next((line[name] for line in lines if _value(line[name]) == most), _DEFAULTS[name])
        if values[most] < 2:  # a line of its own is no shorter
            common = _DEFAULTS[name]
        for line in lines:
            line[name] = None if line[name] == common else line[name]
        if common != _DEFAULTS[name]:
            found[name] = common
    return found


def _entries(fields: Mapping[str, Any]) -> Iterator[str]:
    return (f"{_key(name)} = {_value(value)}" for name, value in fields.items())


def _limit(limit: object) -> object:
    """Show the whole numbers of a range without a point."""
    if not isinstance(limit, Mapping):
        return limit
    return {
        end: int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
        for end, value in limit.items()
    }


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    raise TypeError(f"an op table holds no {type(value).__name__}")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
