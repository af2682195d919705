"""An op table as the text of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mosaic_deploy.gate.op_support.tables import OpRule, OpTable

_WIDTH = 110
_INLINE = ("attributes", "evidence")


def table_text(table: OpTable, *, before: str) -> str:
    """Write a table as TOML: rules in alphabetical order of operators, those for every operator first.

    Args:
        table: what to write; fields with their default value are left out.
        before: the file as it was, whose leading comment is kept; may be empty.
    """
    comment = []
    for line in before.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line)
    fields = table.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    del fields["rule"]
    fusions = ["\n".join(["[[fusion]]", *_entries(fusion)]) for fusion in fields.pop("fusion", ())]
    head = [*comment, *(f"{_key(name)} = {_value(value)}" for name, value in fields.items())]
    rules = ["\n".join(["[[rule]]", *_lines(rule)]) for rule in in_order(table.rules)]
    if not rules:
        head.append("rule = []")
    return "\n\n".join(["\n".join(head), *fusions, *rules]) + "\n"


def in_order(rules: tuple[OpRule, ...]) -> tuple[OpRule, ...]:
    """Sort rules as a table's file has them; those of one operator stay in their order."""
    return tuple(sorted(rules, key=lambda rule: (rule.op != "*", rule.op, rule.domain)))


def _lines(rule: OpRule) -> list[str]:
    fields = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "attributes" in fields:
        fields["attributes"] = {name: _limit(limit) for name, limit in fields["attributes"].items()}
    return _entries(fields)


def _entries(fields: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in fields.items():
        line = f"{_key(name)} = {_value(value)}"
        if len(line) > _WIDTH and name in _INLINE:
            lines += [f"{name}.{_key(key)} = {_value(inner)}" for key, inner in value.items()]
        else:
            lines.append(line)
    return lines


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
