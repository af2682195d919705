"""What an earlier version of a model had already, so that only what is new fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from mosaic_deploy.gate.verdict import Item, TargetVerdict


def mark_known(verdict: TargetVerdict, base: TargetVerdict) -> TargetVerdict:
    """Mark what an earlier version of the model had too.

    A violation is known if the same node violated the same rule as badly; or, where nodes were renamed, as
    often as the same was found of the same operator.
    """
    named = Counter(_by_name(item) for item in base.items)
    known = [_take(named, _by_name(item)) for item in verdict.items]
    alike = Counter(_by_finding(item) for item in base.items)
    alike.subtract(_by_finding(i) for i, old in zip(verdict.items, known, strict=True) if old)
    items = tuple(
        replace(item, known=old or _take(alike, _by_finding(item)))
        for item, old in zip(verdict.items, known, strict=True)
    )
    return replace(verdict, items=items)


def _by_name(item: Item) -> tuple[object, ...]:
    found = item.violation
    return item.deployed, found.level, found.rule, found.op, found.node


def _by_finding(item: Item) -> tuple[object, ...]:
    found = item.violation
    return item.deployed, found.level, found.rule, found.op, found.found


def _take(counts: Counter[tuple[object, ...]], key: tuple[object, ...]) -> bool:
    if counts[key] <= 0:
        return False
    counts[key] -= 1
    return True
