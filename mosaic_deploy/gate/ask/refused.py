"""What a table refuses, cut out as parts to attach to a report: no compiler need be at hand for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mosaic_deploy.errors import ModelError
from mosaic_deploy.gate.ask.reproducer import keep
from mosaic_deploy.gate.ask.structure import structure
from mosaic_deploy.gate.judging import Judged
from mosaic_deploy.gate.verdict import Item, TargetVerdict
from mosaic_deploy.graph.facts import inputs_of, nodes, title
from mosaic_deploy.graph.subgraph import cut


def save_refused(judged: Judged, verdict: TargetVerdict, folder: Path) -> TargetVerdict:
    """The verdict with a part for each operator and rule that refuses it, where there is none yet.

    A part is the first node that the rule refuses, with its weights.

    Raises ``UsageError`` where it cannot be written.
    """
    model, described = judged.model, nodes(judged.model)
    places = {title(node): place for place, node in enumerate(model.graph.node)}
    saved: dict[tuple[str, str], str] = {}
    items: list[Item] = []
    for item in verdict.items:
        found = item.violation
        why = (found.op, found.rule)
        place = places.get(found.node)
        if item.reproducer or not item.refused or item.cured or place is None:
            items.append(item)
            continue
        if why not in saved:
            saved[why] = ""
            try:
                part = cut(model, frozenset({place}), described)
            except ModelError:  # a shape that only running tells
                items.append(item)
                continue
            if inputs_of(part) and part.graph.output:
                saved[why] = keep(part, folder, f"{verdict.target}-{structure(part)[:12]}")
        items.append(replace(item, reproducer=saved[why]))
    return replace(verdict, items=tuple(items))
