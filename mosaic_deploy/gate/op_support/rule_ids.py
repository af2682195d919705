"""Names of rules, made of what they say: the operator, how it is used, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Collection

_SUFFIX = {"runs": "", "wrong": "-wrong", "falls-back": "-refused", "fails-to-compile": "-fails"}
_LONGEST = 70  # leaves room for a number


def rule_id(op: str, form: str, verdict: str, *, used: Collection[str]) -> str:
    """A free id: ``averagepool-uneven-pads-fails``, with a number behind where that is taken.

    Args:
        op: the operator's type.
        form: the way to use it; empty where rules are not told apart by it.
        verdict: the rule's.
        used: ids of the rules before it in the table.
    """
    stem = _slug(f"{op}-{form}" if form else op) + _SUFFIX.get(verdict, "-refused")
    if stem not in used:
        return stem
    number = 2
    while f"{stem}-{number}" in used:
        number += 1
    return f"{stem}-{number}"


def form_of(name: str, *, op: str, verdict: str, used: Collection[str]) -> str | None:
    """The form with which ``rule_id`` makes this very name; None where there is none."""
    start, suffix = _slug(op), _SUFFIX.get(verdict, "-refused")
    rest = name.removeprefix(start)
    for end in (rest, re.sub(r"-\d+$", "", rest)):
        form = end.removesuffix(suffix).removeprefix("-")
        if rule_id(op, form, verdict, used=used) == name:
            return form
    return None


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_LONGEST].rstrip("-")
