"""Runs of one artifact on some images after others, as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mosaic_deploy.backends.protocol import Run, Step

_SIMULATION = "simulation"


def outputs_by_variant(run: Run, names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The outputs of each of ``names``; of a variant that gave the bits of another, that one's."""
    own = {**run.others, run.name: run.outputs}
    return {name: own[name if name in own else run.alike.get(name, run.name)] for name in names}


def variants(runs: Sequence[Run]) -> tuple[str, ...]:
    """Names of the variants that computed otherwise in any of the runs, the main one last."""
    found = dict.fromkeys(name for run in runs for name in run.others)
    return (*(name for name in found if name != runs[0].name), runs[0].name)


def joined(runs: Sequence[Run]) -> Run:
    """One run of all images: outputs one after the other, seconds added, the largest peak."""
    first, *more = runs
    if not more:
        return first
    names = variants(runs)
    parts = [outputs_by_variant(run, names) for run in runs]
    outputs = {name: tuple(path for part in parts for path in part[name]) for name in names}
    main = outputs.pop(first.name)
    facts = dict(runs[-1].facts)
    if isinstance(first.facts.get(_SIMULATION), Mapping):
        facts[_SIMULATION] = _simulated([run.facts[_SIMULATION] for run in runs])
    last = runs[-1].alike
    alike = {name: leader for name, leader in last.items() if name not in names}
    return replace(first, outputs=main, others=outputs, steps=_steps(runs), facts=facts, alike=alike)


def _steps(runs: Sequence[Run]) -> tuple[Step, ...]:
    found: dict[str, Step] = {}
    for step in (step for run in runs for step in run.steps):
        known = found.get(step.name)
        found[step.name] = (
            step
            if known is None
            else replace(
                known,
                seconds=known.seconds + step.seconds,
                peak_bytes=max(known.peak_bytes, step.peak_bytes),
            )
        )
    return tuple(found.values())


def _simulated(records: Sequence[Any]) -> dict[str, object]:
    """Of each architecture the images of all runs, their mean agreement and the largest difference."""
    merged: dict[str, object] = {}
    for name in records[0]:
        parts = [record[name] for record in records]
        images = sum(part["images"] for part in parts)
        merged[name] = {
            "images": images,
            "agreement": sum(p["agreement"] * p["images"] for p in parts) / max(images, 1),
            "largest_difference_steps": max(part["largest_difference_steps"] for part in parts),
        }
        alike = {part.get("alike") for part in parts}
        if len(alike) == 1 and None not in alike:
            merged[name] = {**parts[0], **merged[name], "alike": alike.pop()}  # type: ignore[dict-item]  # a dict
    return merged
